import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'

/**
 * A new pair of keys. Not the objects of the generator: in Node 20 a garbage collection of it, while the details of one of
 * them are asked for, waits for itself for ever.
 */
export function generateRsaPair(modulusLength: number): { privateKey: KeyObject; publicKey: KeyObject } {
  const pair = generateKeyPairSync('rsa', {
    modulusLength,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  })
  return { privateKey: createPrivateKey(pair.privateKey), publicKey: createPublicKey(pair.publicKey) }
}

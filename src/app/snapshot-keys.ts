import { createHash, type KeyObject } from 'node:crypto'
import { IntegrityError, isPbsfsError, KeyError, type PbsfsError } from '../errors/errors.js'
import type { Log } from '../errors/log.js'
import { formatFingerprint } from '../keys/fingerprint.js'
import { KeyRing, type RingKey } from '../keys/key-ring.js'
import { MAX_RSA_KEY_BLOB_SIZE, RSA_KEY_BLOB } from '../keys/rsa-key-blob.js'
import type { UsableKeys } from '../keys/usable-keys.js'
import { verifySignature } from '../keys/signature.js'
import type { Datastore, SnapshotManifest, SnapshotRef } from '../source/datastore.js'
import type { SnapshotTrust } from '../tree/store-context.js'
import type { ProblemLog } from './problem-log.js'

export interface SnapshotKeysSettings {
  readonly given: UsableKeys
  /** Show what would be refused, with a warning. */
  readonly force: boolean
  readonly log: Log
  readonly problems: ProblemLog
  /** Hears of every key before it is used. */
  readonly onKey: (added: RingKey) => void
}

/** What is known of a snapshot, with the keys its encrypted files may need: mostly one, or none. */
export interface Judgement extends SnapshotTrust {
  readonly keys: readonly RingKey[]
}

/** Finds the key of each snapshot among those that were given, and what its signature is worth. */
export class SnapshotKeys {
  readonly force: boolean
  readonly #datastore: Datastore
  readonly #settings: SnapshotKeysSettings
  readonly #ring: KeyRing
  /** By the manifest they are about; a judgement that lacks a key holds only until there is another one. */
  readonly #judgements = new WeakMap<object, { readonly keys: number; readonly judgement: Promise<Judgement> }>()

  constructor(datastore: Datastore, settings: SnapshotKeysSettings) {
    this.force = settings.force
    this.#datastore = datastore
    this.#settings = settings
    this.#ring = new KeyRing(settings.onKey)
    for (const key of settings.given.keys) this.#ring.add(key)
  }

  /** Never rejects for what is wrong with keys or signature: that is in the answer. */
  judge(snapshot: SnapshotRef, seen: SnapshotManifest): Promise<Judgement> {
    const known = this.#judgements.get(seen.manifest)
    if (known !== undefined && known.keys === this.#ring.size) return known.judgement
    const judgement = this.#judge(snapshot, seen)
    const entry = { keys: this.#ring.size, judgement }
    this.#judgements.set(seen.manifest, entry)
    judgement.then(
      (done) => {
        // A key that was recovered on the way is no reason to ask again.
        if (done.missingKey === undefined) this.#judgements.set(seen.manifest, { keys: this.#ring.size, judgement })
      },
      () => this.#judgements.delete(seen.manifest),
    )
    return judgement
  }

  /**
   * The keys to try for a file of the snapshot; none for one that is not encrypted. Rejects with
   * what stands against opening it.
   */
  async keysFor(snapshot: SnapshotRef, seen: SnapshotManifest, encrypted: boolean): Promise<readonly RingKey[]> {
    const judgement = await this.judge(snapshot, seen)
    if (judgement.refusal !== undefined) throw judgement.refusal
    if (encrypted && judgement.missingKey !== undefined) throw judgement.missingKey
    return encrypted || this.force ? judgement.keys : []
  }

  /** Something that is only shown because that was asked for. */
  warn(message: string, stream: string): void {
    if (this.#settings.problems.add(new IntegrityError(message, { stream }))) this.#settings.log.warn(message, { stream })
  }

  async #judge(snapshot: SnapshotRef, seen: SnapshotManifest): Promise<Judgement> {
    const place = placeOf(snapshot)
    const { manifest } = seen
    const isEncrypted = manifest.files.some((file) => file.cryptMode === 'encrypt')
    const { key, note } = await this.#findKey(snapshot, seen)
    if (manifest.keyFingerprint === undefined && manifest.signature === undefined) {
      return this.#judgeUnsigned(place, isEncrypted)
    }
    if (key === undefined) {
      if (manifest.keyFingerprint === undefined && this.#ring.size > 0) {
        return this.#refuse(place, 'wrong', `its signature was made with none of the given keys (${this.#ring.describe()})`, [])
      }
      return this.#withoutKey(place, manifest.keyFingerprint, manifest.signature !== undefined, isEncrypted, note)
    }
    if (manifest.signature === undefined) {
      return this.#refuse(place, 'missing', 'its manifest names a key but is not signed', [key])
    }
    if (!verifySignature(seen.json, place, manifest.signature, key.key.idKey)) {
      return this.#refuse(place, 'wrong', 'the signature of its manifest is wrong: it is not the one that was backed up', [key])
    }
    return { signature: 'verified', needs: undefined, missingKey: undefined, refusal: undefined, keys: [key] }
  }

  #judgeUnsigned(place: string, isEncrypted: boolean): Judgement {
    const keys = this.#ring.all()
    const judgement = { signature: 'none', needs: undefined, missingKey: undefined, refusal: undefined, keys } as const
    if (!isEncrypted) return judgement
    this.#report('warn', `${place}: encrypted, but its manifest is not signed and names no key`, place)
    if (keys.length > 0) return judgement
    const needs = 'needs a key (its manifest does not say which); given: none'
    return { ...judgement, needs, missingKey: this.#missing(place, needs, {}) }
  }

  #withoutKey(place: string, wanted: string | undefined, isSigned: boolean, isEncrypted: boolean, note: string): Judgement {
    const shown = wanted === undefined ? undefined : formatFingerprint(wanted)
    const given = this.#ring.describe()
    const maker = shown === undefined ? 'a key' : `key ${shown}`
    const signature = isSigned ? `not verified: made with ${maker}; given: ${given}${note}` : 'missing'
    const judgement = { signature, needs: undefined, missingKey: undefined, refusal: undefined, keys: [] }
    if (!isEncrypted) {
      this.#settings.log.info(`${place}: signature ${signature}`, { stream: place })
      return judgement
    }
    const needs = `needs ${shown === undefined ? 'a key (its manifest does not say which)' : `key ${shown}`}; given: ${given}${note}`
    const fields = { ...(shown === undefined ? {} : { wanted: shown }), given }
    return { ...judgement, needs, missingKey: this.#missing(place, needs, fields) }
  }

  #missing(place: string, needs: string, fields: Readonly<Record<string, string>>): KeyError {
    const remedy = 'Give its key with --keyfile FILE, or the private master key with --master-keyfile FILE.'
    const error = new KeyError(`${place}: ${needs}`, { stream: place, ...fields, remedy })
    if (this.#settings.problems.add(error)) this.#settings.log.warn(error.message, { stream: place, remedy })
    return error
  }

  #refuse(place: string, signature: 'wrong' | 'missing', why: string, keys: readonly RingKey[]): Judgement {
    const remedy = 'Look at it all the same with --force.'
    const refusal = new IntegrityError(`${place}: ${why}`, { stream: place, remedy })
    if (this.force) this.#report('warn', refusal.message, place)
    else this.#report('error', refusal.message, place, remedy)
    return { signature, needs: undefined, missingKey: undefined, refusal: this.force ? undefined : refusal, keys }
  }

  /** With a remedy: the same stands in the error that whoever opens the place gets. */
  #report(level: 'warn' | 'error', message: string, place: string, remedy?: string): void {
    const fields = { stream: place, ...(remedy === undefined ? {} : { remedy }) }
    if (this.#settings.problems.add(new IntegrityError(message, { stream: place }))) this.#settings.log[level](message, fields)
  }

  /** The key the manifest names, or the one that made its signature. `note`: what came of looking for it. */
  async #findKey(snapshot: SnapshotRef, seen: SnapshotManifest): Promise<{ key: RingKey | undefined; note: string }> {
    const { keyFingerprint, signature } = seen.manifest
    const known = this.#matching(seen, this.#ring.all())
    if (known !== undefined || (keyFingerprint === undefined && signature === undefined)) return { key: known, note: '' }
    const recovered = await this.#recover(snapshot, seen)
    if (recovered === undefined || typeof recovered === 'string') return { key: undefined, note: recovered ?? '' }
    const key = this.#matching(seen, [recovered])
    return { key, note: key === undefined ? `; its ${RSA_KEY_BLOB} holds ${formatFingerprint(recovered.key.fingerprint)}` : '' }
  }

  #matching({ manifest, json }: SnapshotManifest, keys: readonly RingKey[]): RingKey | undefined {
    const { keyFingerprint, signature } = manifest
    if (keyFingerprint !== undefined) return keys.find(({ key }) => key.fingerprint === keyFingerprint)
    if (signature === undefined) return undefined
    return keys.find(({ key }) => verifySignature(json, 'manifest', signature, key.idKey))
  }

  /** The key that the backup carries for the holder of the master key, or why there is none. */
  async #recover(snapshot: SnapshotRef, seen: SnapshotManifest): Promise<RingKey | string | undefined> {
    const { masterKeys } = this.#settings.given
    if (masterKeys.length === 0) return undefined
    const entry = seen.manifest.files.find((file) => file.filename === RSA_KEY_BLOB)
    if (entry === undefined) return '; it carries no key for a master key'
    const name = `${placeOf(snapshot)}/${RSA_KEY_BLOB}`
    try {
      const bytes = await this.#datastore.readFile(snapshot, RSA_KEY_BLOB, MAX_RSA_KEY_BLOB_SIZE)
      if (createHash('sha256').update(bytes).digest('hex') !== entry.csum && !this.force) {
        return `; its ${RSA_KEY_BLOB} is not the one its manifest lists`
      }
      return await this.#openWith(masterKeys, bytes, name)
    } catch (error) {
      if (!isUsable(error)) throw error
      return `; ${error.message}`
    }
  }

  async #openWith(masterKeys: readonly KeyObject[], bytes: Uint8Array, name: string): Promise<RingKey | string> {
    // Much to load, and few mounts have a master key.
    const { recoverKey } = await import('../keys/master-key.js')
    for (const masterKey of masterKeys) {
      const key = recoverKey(bytes, name, masterKey)
      if (key !== undefined) return this.#ring.add(key)
    }
    return `; its ${RSA_KEY_BLOB} was made for another master key`
  }
}

/** Damage of the key blob is a reason to name, a store that does not answer is one to fail. */
function isUsable(error: unknown): error is PbsfsError {
  return isPbsfsError(error) && error.tag !== 'source' && error.tag !== 'aborted'
}

export function placeOf({ group, time }: SnapshotRef): string {
  return [...group.ns.flatMap((name) => ['ns', name]), group.type, group.id, time].join('/')
}

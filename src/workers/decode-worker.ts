import { parentPort } from 'node:worker_threads'
import { writevSync } from 'node:fs'
import { toPlainError } from '../errors/errors.js'
import { nameThread, stayBehind } from '../posix/thread.js'
import { openChunkSource } from '../source/open-chunk-source.js'
import { ChunkDecoder, type Substitute } from './chunk-decoder.js'
import type { Answer, DecodeRequest, DecodeResult, DecoderHello, DecoderSetup, ToDecoder } from './messages.js'

nameThread('pbsfs-decode')
// Whoever asks for attributes does not wait for what others read.
stayBehind()

const port = parentPort!
let memory: Uint8Array
let replyFd: number | undefined
let decoder: ChunkDecoder

port.on('message', (message: ToDecoder) => {
  if ('setup' in message) begin(message.setup)
  else if ('addKey' in message) decoder.addKey(message.addKey)
  else void serve(message).then((result) => port.postMessage(result))
})

function begin(setup: DecoderSetup): void {
  memory = new Uint8Array(setup.memory)
  replyFd = setup.replyFd
  let error: DecoderHello['error']
  try {
    decoder = new ChunkDecoder(setup.sources.map(openChunkSource), setup.keys)
  } catch (failure) {
    error = toPlainError(failure)
  }
  port.postMessage({ hello: true, ...(error === undefined ? {} : { error }) } satisfies DecoderHello)
}

async function serve(request: DecodeRequest): Promise<DecodeResult> {
  let found: Substitute | undefined
  try {
    const target = memory.subarray(request.offset, request.offset + request.length)
    found = await decoder.decode(request, target)
  } catch (error) {
    return { id: request.id, error: toPlainError(error) }
  }
  const unsent = request.answers.flatMap((answer, i) => (send(answer) ? [] : [i]))
  const substitute = found === undefined ? {} : { substitute: { source: found.source, error: toPlainError(found.error) } }
  return unsent.length === 0 ? { id: request.id, ...substitute } : { id: request.id, unsent, ...substitute }
}

/** Writes one whole answer. Whoever waits for it hears from the owner of the queue when this fails. */
function send(answer: Answer): boolean {
  if (replyFd === undefined) return false
  const parts: Uint8Array[] = [answer.header]
  for (let i = 0; i < answer.ranges.length; i += 2) {
    const from = answer.ranges[i]!
    parts.push(memory.subarray(from, from + answer.ranges[i + 1]!))
  }
  try {
    writevSync(replyFd, parts)
    return true
  } catch {
    return false
  }
}

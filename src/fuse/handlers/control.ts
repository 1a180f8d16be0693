import { ERRNO } from '../../errors/errno.js'
import { OUT, type Exchange, type PendingRequest } from '../exchange.js'
import { wishesFor } from '../options.js'
import { FUSE_INIT_OUT_SIZE, negotiateInit, writeInitAgain, writeInitOut } from '../protocol/init.js'
import { interruptedHi, interruptedLo } from '../protocol/request.js'

export function handleInit(x: Exchange, request: PendingRequest, view: DataView): void {
  const outcome = negotiateInit(view, request.length, wishesFor(x.options))
  if (outcome.kind === 'refused') {
    x.initRefused = outcome.message
    return x.refuse(request, ERRNO.EPROTO)
  }
  if (outcome.kind === 'again') {
    writeInitAgain(x.view, OUT)
    x.send(request, FUSE_INIT_OUT_SIZE)
    return
  }
  const { negotiated } = outcome
  writeInitOut(x.view, OUT, negotiated)
  if (!x.send(request, FUSE_INIT_OUT_SIZE)) return
  x.negotiated = negotiated
  x.log.debug('connected to the kernel', {
    protocol: `7.${negotiated.kernelMinor}`,
    enabled: negotiated.enabled.join(' '),
    refused: negotiated.refused.join(' '),
    absent: negotiated.absent.join(' '),
    maxReadahead: negotiated.kernelMaxReadahead,
  })
}

export function handleInterrupt(x: Exchange, request: PendingRequest, view: DataView): void {
  x.interrupt(interruptedHi(view), interruptedLo(view))
  x.finishSilently(request)
}

/** Success without a body. */
export function handleNothing(x: Exchange, request: PendingRequest): void {
  x.send(request, 0)
}

/** For a request that gets no answer and asks for nothing. */
export function handleIgnored(x: Exchange, request: PendingRequest): void {
  x.finishSilently(request)
}

import type { DirectReply } from '../../bytes/read-at.js'
import { viewOf } from '../../bytes/le.js'
import { PbsfsError, TruncatedError, withFields } from '../../errors/errors.js'
import type { Content } from '../../tree/tree.js'
import { ERRNO } from '../../errors/errno.js'
import { OUT, type Exchange, type PendingRequest } from '../exchange.js'
import type { Opened } from '../options.js'
import {
  FOPEN_CACHE_DIR, FOPEN_DIRECT_IO, FOPEN_KEEP_CACHE, FOPEN_NOFLUSH, FUSE_LSEEK_OUT_SIZE, FUSE_OPEN_OUT_SIZE,
  FUSE_OUT_HEADER_SIZE, writeLseekOut, writeOpenOut, writeOutHeader,
} from '../protocol/reply.js' // prettier-ignore
import {
  lseekOffset, lseekWhence, openFlags, readOffset, readSize, releaseHandle, SEEK_DATA, SEEK_HOLE,
} from '../protocol/request.js' // prettier-ignore

const O_ACCMODE = 3
const O_TRUNC = 0o1000
/** More than any request asks for that INIT can agree to: 65535 pages. */
const MAX_READ = 256 * 1024 * 1024

/** What is copied for a larger READ takes as long as many other answers. */
const SMALL_READ = 128 * 1024

const NOT_TRACKED: Opened = { fh: 0 }

export function handleOpen(x: Exchange, request: PendingRequest, view: DataView): void {
  const flags = openFlags(view)
  // Checked before ENOSYS, which allows everything.
  if ((flags & O_ACCMODE) !== 0 || (flags & O_TRUNC) !== 0) return openForWriting(x, request)
  if (x.options.noOpen) return x.refuse(request, ERRNO.ENOSYS)
  open(x, request, false)
}

/** A disk keeps its size: who wants it empty gets an error when the kernel asks for that. */
function openForWriting(x: Exchange, request: PendingRequest): void {
  const { writes } = x.tree
  if (writes === undefined) return x.refuse(request, ERRNO.EROFS)
  x.settle(request, writes.isWritable(request.node), (_x, _request, isWritable) => {
    if (isWritable) open(x, request, false)
    else x.refuse(request, ERRNO.EROFS)
  })
}

function encodeOpen(x: Exchange, request: PendingRequest, opened: Opened): void {
  writeOpenOut(x.view, OUT, opened.fh, (opened.directIo === true ? FOPEN_DIRECT_IO : FOPEN_KEEP_CACHE) | FOPEN_NOFLUSH)
  // An open the kernel did not take (its caller was interrupted) is never released by it.
  if (!x.send(request, FUSE_OPEN_OUT_SIZE)) x.options.hooks?.onRelease(request.node, opened.fh, false)
}

export function handleOpendir(x: Exchange, request: PendingRequest): void {
  if (x.options.noOpendir) return x.refuse(request, ERRNO.ENOSYS)
  open(x, request, true)
}

/** Every open that a hook granted is released: by the kernel, or here when the caller has gone. */
function open(x: Exchange, request: PendingRequest, directory: boolean): void {
  const encode = directory ? encodeOpendir : encodeOpen
  const opened = x.options.hooks?.onOpen(request.node, directory) ?? NOT_TRACKED
  if (!(opened instanceof Promise)) return encode(x, request, opened)
  const checked = opened.then((granted) => {
    if (request.answered) x.options.hooks?.onRelease(request.node, granted.fh, directory)
    return granted
  })
  x.settle(request, checked, encode)
}

function encodeOpendir(x: Exchange, request: PendingRequest, opened: Opened): void {
  writeOpenOut(x.view, OUT, opened.fh, opened.directIo === true ? 0 : FOPEN_KEEP_CACHE | FOPEN_CACHE_DIR)
  if (!x.send(request, FUSE_OPEN_OUT_SIZE)) x.options.hooks?.onRelease(request.node, opened.fh, true)
}

export function handleRelease(x: Exchange, request: PendingRequest, view: DataView): void {
  x.options.hooks?.onRelease(request.node, releaseHandle(view), false)
  x.send(request, 0)
}

export function handleReleasedir(x: Exchange, request: PendingRequest, view: DataView): void {
  x.options.hooks?.onRelease(request.node, releaseHandle(view), true)
  x.send(request, 0)
}

export function handleRead(x: Exchange, request: PendingRequest, view: DataView): void {
  const offset = readOffset(view)
  const size = readSize(view)
  if (size <= SMALL_READ) return read(x, request, offset, size)
  x.putOff(request, () => read(x, request, offset, size))
}

function read(x: Exchange, request: PendingRequest, offset: number, size: number): void {
  const content = x.tree.content(request.node)
  if (!(content instanceof Promise)) return sendContent(x, request, content, offset, size)
  x.settle(request, content, (_x, _request, ready) => sendContent(x, request, ready, offset, size))
}

/** Sends `[offset, offset+size)` of a file as far as it exists; short only at its end. */
function sendContent(x: Exchange, request: PendingRequest, content: Content, offset: number, size: number): void {
  // Not answered short: that would tell the kernel that the file ends there.
  if (size > MAX_READ) return x.refuse(request, ERRNO.EINVAL)
  // A negative offset stands for one above 2^53, which is past any end.
  const length = offset < 0 ? 0 : Math.min(size, content.size - offset)
  if (length <= 0) {
    x.send(request, 0)
    return
  }
  const { stream } = content
  const start = content.start + offset
  if (start + length > stream.size) {
    throw new TruncatedError(`${stream.name} ends before the file does`, {
      stream: stream.name,
      offset: start,
      expected: length,
      actual: Math.max(0, stream.size - start),
    })
  }
  const ready = stream.peek(start, length)
  if (ready !== undefined) {
    x.sendBytes(request, ready)
    stream.noteRead?.(start, length)
  } else if (stream.deliver !== undefined) {
    x.wait(request)
    stream.deliver(start, length, new ReadReply(x, request, length, content.start))
  } else {
    const bytes = stream.read(start, length).catch((error: unknown) => {
      throw inFile(error, content.start)
    })
    x.settle(request, bytes, sendRead)
  }
  if (offset === 0) x.pusher?.noteRead(request.node, request.pid)
}

/** The error of a read, with the place in the file beside that in the stream. */
function inFile(error: unknown, start: number): unknown {
  if (!(error instanceof PbsfsError)) return error
  const { offset, length } = error.fields
  return typeof offset === 'number' && typeof length === 'number' && offset >= start ? withFields(error, { fileOffset: offset - start }) : error
}

function sendRead(x: Exchange, request: PendingRequest, bytes: Uint8Array): void {
  x.sendBytes(request, bytes)
}

/** The reply to a READ whose data another thread writes behind `header`. */
class ReadReply implements DirectReply {
  readonly header: Uint8Array
  readonly #x: Exchange
  readonly #request: PendingRequest
  readonly #length: number
  /** Of the file, in the stream. */
  readonly #start: number

  constructor(x: Exchange, request: PendingRequest, length: number, start: number) {
    this.#start = start
    this.#x = x
    this.#request = request
    this.#length = length
    this.header = new Uint8Array(FUSE_OUT_HEADER_SIZE)
    const total = FUSE_OUT_HEADER_SIZE + length
    writeOutHeader(viewOf(this.header), 0, total, 0, request.uniqueHi, request.uniqueLo)
  }

  ready(send: () => void): void {
    if (this.#length <= SMALL_READ) send()
    else this.#x.putOff(this.#request, send)
  }

  done(): void {
    this.#x.sentElsewhere(this.#request, this.#length)
  }

  send(bytes: Uint8Array): void {
    if (!this.#request.answered) this.#x.sendBytes(this.#request, bytes)
  }

  fail(error: unknown): void {
    this.#x.fail(this.#request, inFile(error, this.#start))
  }
}

export function handleLseek(x: Exchange, request: PendingRequest, view: DataView): void {
  const offset = lseekOffset(view)
  const whence = lseekWhence(view)
  if (whence !== SEEK_DATA && whence !== SEEK_HOLE) return x.refuse(request, ERRNO.EINVAL)
  const content = x.tree.content(request.node)
  if (!(content instanceof Promise)) return sendSeek(x, request, content, offset, whence)
  x.settle(request, content, (_x, _request, ready) => sendSeek(x, request, ready, offset, whence))
}

/** ENXIO at or past the end, and for data where only holes follow; the end counts as a hole. */
function sendSeek(x: Exchange, request: PendingRequest, content: Content, offset: number, whence: number): void {
  const { stream, start, size } = content
  if (offset < 0 || offset >= size) return x.refuse(request, ERRNO.ENXIO)
  let found: number
  if (whence === SEEK_DATA) {
    found = stream.nextData === undefined ? offset : stream.nextData(start + offset) - start
    if (found >= size) return x.refuse(request, ERRNO.ENXIO)
  } else {
    found = stream.nextHole === undefined ? size : Math.min(stream.nextHole(start + offset) - start, size)
  }
  writeLseekOut(x.view, OUT, found)
  x.send(request, FUSE_LSEEK_OUT_SIZE)
}

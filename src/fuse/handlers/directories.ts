import { ERRNO } from '../../errors/errno.js'
import type { Exchange, PendingRequest } from '../exchange.js'
import { MAX_LISTING, type Listing } from '../listing.js'
import { readOffset, readSize } from '../protocol/request.js'

export function handleReaddir(x: Exchange, request: PendingRequest, view: DataView): void {
  list(x, request, view, false)
}

export function handleReaddirplus(x: Exchange, request: PendingRequest, view: DataView): void {
  list(x, request, view, true)
}

function list(x: Exchange, request: PendingRequest, view: DataView, plus: boolean): void {
  const cookie = readOffset(view)
  if (cookie < 0) return x.refuse(request, ERRNO.EINVAL)
  const limit = Math.min(readSize(view), MAX_LISTING)
  const listing = x.listings.take(limit)
  listing.begin(plus, limit, x.bridge)
  let filled: void | Promise<void>
  try {
    filled = x.tree.list(request.node, cookie, listing)
  } catch (error) {
    x.listings.give(listing)
    throw error
  }
  if (!(filled instanceof Promise)) return sendListing(x, request, listing)
  // The listing stays with the tree until the promise settles, so it goes back to the pool then.
  x.settle(request, filled.then(() => listing), sendListing)
}

function sendListing(x: Exchange, request: PendingRequest, listing: Listing): void {
  // Before the reply: the reader goes to the first file at once.
  if (listing.used === 0) x.pusher?.noteListed(request.node, request.pid)
  if (x.sendPrepared(request, listing.bytes, listing.view, listing.used)) {
    listing.forEachReferenced((hi, lo) => x.tree.remember(hi, lo, 1))
  }
  x.listings.give(listing)
}

import { keyOf } from '../bytes/names.js'
import { files } from '../posix/files.js'
import type { Attr } from '../tree/tree.js'
import type { RestoreOptions, RestoreSummary, Unset } from './restore-options.js'

export type Attributes = readonly (readonly [name: Uint8Array, value: Uint8Array])[]

const ACL_PREFIX = 'system.posix_acl_'
const ACL_NAMES = [Buffer.from('system.posix_acl_access'), Buffer.from('system.posix_acl_default')]
const CAPABILITY = 'security.capability'

const PERMISSIONS = 0o7777
const SETUID_SETGID = 0o6000
const NO_CHANGE = 0xffffffff

type Wishes = Pick<RestoreOptions, 'ignoreOwnership' | 'ignorePermissions' | 'ignoreAcls' | 'ignoreXattrs'>

/**
 * Sets owner, extended attributes, mode and times, in the order in which none undoes another: a change of owner
 * takes setuid bits and capabilities away, an ACL changes the bits of the group. What cannot be set is counted.
 */
export class Metadata {
  readonly #wishes: Wishes
  readonly #unset: Map<Unset, number>

  constructor(wishes: Wishes, { unset }: RestoreSummary) {
    this.#wishes = wishes
    this.#unset = unset
  }

  count(what: Unset): void {
    this.#unset.set(what, (this.#unset.get(what) ?? 0) + 1)
  }

  /** Of an open file or folder. */
  applyTo(fd: number, attr: Attr, attributes: Attributes): void {
    const call = files()
    const owned = this.#own(attr, (uid, gid) => call.fchown(fd, uid, gid))
    for (const [name, value] of attributes) this.#setAttribute(name, (key) => call.fsetxattr(fd, key, value))
    this.#setMode(attr, owned, (mode) => call.fchmod(fd, mode))
    if (call.futimens(fd, attr.mtimeSec, attr.mtimeNsec) < 0) this.count('time')
  }

  /** Of what is not opened: a device, a pipe, a file that is there already. `handle`: a descriptor of O_PATH. */
  applyToHandle(handle: number, dir: number, name: Uint8Array, attr: Attr, attributes: Attributes): void {
    const call = files()
    const path = Buffer.from(`/proc/self/fd/${handle}`)
    const owned = this.#own(attr, (uid, gid) => call.fchownat(dir, name, uid, gid))
    for (const [key, value] of attributes) this.#setAttribute(key, (text) => call.setxattr(path, text, value))
    this.#setMode(attr, owned, (mode) => call.chmod(path, mode))
    if (call.utimensat(dir, name, attr.mtimeSec, attr.mtimeNsec) < 0) this.count('time')
  }

  /** Of a symbolic link, which has an owner and a time. */
  applyToLink(dir: number, name: Uint8Array, attr: Attr): void {
    const call = files()
    this.#own(attr, (uid, gid) => call.fchownat(dir, name, uid, gid))
    if (call.utimensat(dir, name, attr.mtimeSec, attr.mtimeNsec) < 0) this.count('time')
  }

  /** Takes away what an ACL of the folder above has made everything below it inherit. */
  dropInherited(folder: number): void {
    if (this.#wishes.ignoreAcls) return
    for (const name of ACL_NAMES) files().fremovexattr(folder, name)
  }

  /** True when the owner is the right one now. */
  #own(attr: Attr, chown: (uid: number, gid: number) => number): boolean {
    if (this.#wishes.ignoreOwnership) return false
    if (chown(attr.uid, attr.gid) >= 0) return true
    // Whoever is not root may still give a file to a group of his.
    if (chown(NO_CHANGE, attr.gid) >= 0 && attr.uid === process.geteuid?.()) return true
    this.count('owner')
    return false
  }

  #setMode(attr: Attr, owned: boolean, chmod: (mode: number) => number): void {
    if (this.#wishes.ignorePermissions) return
    const wanted = attr.mode & PERMISSIONS
    // Never a program that runs as whoever happens to own the copy.
    const isFolder = (attr.mode & 0o170000) === 0o040000
    const mode = owned || isFolder ? wanted : wanted & ~SETUID_SETGID
    if (mode !== wanted) this.count('setuid')
    if (chmod(mode) < 0) this.count('mode')
  }

  #setAttribute(name: Uint8Array, set: (name: Uint8Array) => number): void {
    const text = keyOf(name)
    const kind = text.startsWith(ACL_PREFIX) ? 'acl' : text === CAPABILITY ? 'capability' : 'xattr'
    if (kind === 'acl' ? this.#wishes.ignoreAcls : this.#wishes.ignoreXattrs) return
    if (set(name) < 0) this.count(kind)
  }
}

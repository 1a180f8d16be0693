/** Paths of the host as bytes. */
const SLASH = 0x2f

/** The folder that a path is in; `/` for what is right below it. */
export function parentOf(path: Buffer): Buffer {
  return path.subarray(0, Math.max(1, path.lastIndexOf(SLASH)))
}

/** The last name of a path. */
export function lastNameOf(path: Buffer): Buffer {
  return path.subarray(path.lastIndexOf(SLASH) + 1)
}

export function joinBytes(folder: Uint8Array, name: Uint8Array): Buffer {
  const slash = folder[folder.length - 1] === SLASH ? '' : '/'
  return Buffer.concat([folder, Buffer.from(slash), name])
}

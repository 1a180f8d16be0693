/** `04:1d:d8:...`: a fingerprint as people know it. */
export function formatFingerprint(fingerprint: string): string {
  return fingerprint.match(/../g)!.join(':')
}

/** 64 hex digits of a fingerprint with or without colons, undefined when it is none. */
export function parseFingerprint(text: string): string | undefined {
  const digits = text.replaceAll(':', '').toLowerCase()
  return /^[0-9a-f]{64}$/.test(digits) ? digits : undefined
}

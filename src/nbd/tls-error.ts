const OTHER_KEY = 'its key is another one than that of its name here'
const NO_KEY = 'it gives no key that is known here'

/** Reasons of the TLS library, by what they mean for whoever set up the two sides. */
const MEANINGS: Readonly<Record<string, string>> = {
  'binder does not verify': OTHER_KEY,
  'no suitable signature algorithm': NO_KEY,
  'peer did not return a certificate': 'it shows no certificate',
}

/** Why a handshake failed, in one line. */
export function describeTlsError(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const { reason } = error as Error & { readonly reason?: unknown }
  if (typeof reason !== 'string') return error.message
  const meaning = MEANINGS[reason]
  return meaning === undefined ? reason : `${meaning} (${reason})`
}

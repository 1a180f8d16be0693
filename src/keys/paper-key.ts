/** Around the key in what `key paperkey` prints, as text and as HTML; a QR code follows. */
const PAPER_KEY = /-----BEGIN PROXMOX BACKUP KEY-----(.*?)-----END PROXMOX BACKUP KEY-----/s

const ENTITIES: Readonly<Record<string, string>> = { '&quot;': '"', '&#34;': '"', '&lt;': '<', '&gt;': '>', '&nbsp;': ' ', '&amp;': '&' }

/**
 * The JSON in a printed key; undefined when the text is not one. A subject before it and the
 * picture behind it do not matter, nor do lines that were wrapped when it was printed or typed in.
 */
export function extractPaperKey(text: string): string | undefined {
  const inner = PAPER_KEY.exec(text)?.[1]
  if (inner === undefined) return undefined
  const plain = inner.replace(/<[^>]*>/g, '').replace(/&(?:quot|#34|lt|gt|nbsp|amp);/g, (entity) => ENTITIES[entity]!)
  return plain.replace(/[ \t\f]*\r?\n[ \t\f]*/g, '')
}

const PEM_LINE = /^\s*(?:\d{1,3}:\s+)?([A-Za-z0-9+/]{1,76}={0,2})\s*$/
const PEM_HEADER = /^\s*(?:\d{1,3}:\s+)?((?:Proc-Type|DEK-Info): \S+)\s*$/

/**
 * The private key in a text, as PEM. A printed master key comes in blocks of numbered lines with a
 * picture below each; only its own lines are kept. undefined: there is none.
 */
export function extractPem(text: string): string | undefined {
  const label = /-----BEGIN ((?:[A-Z]+ )*PRIVATE KEY)-----/.exec(text)
  if (label === null) return undefined
  const from = label.index + label[0].length
  const end = text.indexOf(`-----END ${label[1]}-----`, from)
  if (end < 0) return undefined
  const headers: string[] = []
  const body: string[] = []
  for (const line of text.slice(from, end).split(/\r?\n|\f/)) {
    const header = PEM_HEADER.exec(line)?.[1]
    const data = PEM_LINE.exec(line)?.[1]
    if (header !== undefined) headers.push(header)
    else if (data !== undefined) body.push(data)
  }
  const head = headers.length === 0 ? '' : `${headers.join('\n')}\n\n`
  return `${label[0]}\n${head}${body.join('\n')}\n-----END ${label[1]}-----\n`
}

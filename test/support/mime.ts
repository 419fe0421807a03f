/** Takes a MIME document apart, as a reader of user data does: its parts in their order. */

export type MimePart = { readonly type: string; readonly text: string }

export function partsOf(document: string): readonly MimePart[] {
  const [head = '', body = ''] = splitHeader(document)
  const boundary = /^Content-Type: multipart\/mixed; boundary="([^"]+)"$/m.exec(head)?.[1]
  if (!boundary || !/^MIME-Version: 1\.0$/m.test(head)) throw new Error('This is no MIME document of parts')
  const [, ...pieces] = `\n${body}`.split(`\n--${boundary}`)
  if (pieces.pop()?.trim() !== '--') throw new Error('The document has no end')
  return pieces.map((piece) => {
    const [header = '', text = ''] = splitHeader(piece.slice(1))
    const type = /^Content-Type: ([\w/-]+)/m.exec(header)?.[1] ?? ''
    // The line's end before a boundary belongs to the boundary (RFC 2046, 5.1.1).
    return { type, text: `${text}\n` }
  })
}

function splitHeader(text: string): readonly string[] {
  const end = text.indexOf('\n\n')
  return [text.slice(0, end), text.slice(end + 2)]
}

/** Text of several kinds in one document, as MIME has it (RFC 2046): what cloud-init takes apart again. */

export type Part = {
  /** Such as `text/x-shellscript`. */
  readonly type: string
  /** ASCII; ends with a line's end. */
  readonly text: string
}

const boundary = '=bellows='

export function multipart(parts: readonly Part[]): string {
  for (const { type, text } of parts) {
    if (/[^\t\n\x20-\x7e]/.test(text)) throw new Error(`The part ${type} is not plain ASCII`)
    if (text.includes(`--${boundary}`)) throw new Error(`The part ${type} holds the boundary between parts`)
  }
  const written = parts.map(
    ({ type, text }) => `--${boundary}\nContent-Type: ${type}; charset="us-ascii"\n\n${text}`,
  )
  return [
    `Content-Type: multipart/mixed; boundary="${boundary}"\nMIME-Version: 1.0\n\n`,
    ...written,
    `--${boundary}--\n`,
  ].join('')
}

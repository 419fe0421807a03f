/** Text from a machine is untrusted: cut into lines, bounded, and freed of anything but text. */
import { printable } from '../text.ts'

/** Longer lines are cut here; the rest of them is dropped. */
const longestLine = 64 * 1024

const lineFeed = 10
const carriageReturn = 13

/**
 * Calls `onLine` for each line of a byte stream. Bytes are decoded a line at a time, so that a character
 * is never torn by a packet; `end` hands over a last line without an end. A carriage return ends a line, too:
 * a progress bar that is drawn over and over leaves what follows it a line of its own.
 */
export const lineReader = (onLine: (line: string) => void) => {
  let parts: Buffer[] = []
  let length = 0
  /** The line before ended with a carriage return: a line feed right after it belongs to that. */
  let returned = false
  const keep = (bytes: Buffer): void => {
    const room = longestLine - length
    if (room > 0 && bytes.length > 0) parts.push(bytes.subarray(0, room))
    length += Math.min(room, bytes.length)
  }
  const flush = (): void => {
    const line = Buffer.concat(parts).toString('utf8')
    parts = []
    length = 0
    onLine(printable(line))
  }
  return {
    write(chunk: Buffer): void {
      for (let start = 0; start < chunk.length; ) {
        const end = endOfLine(chunk, start)
        const text = chunk.subarray(start, end)
        if (text.length > 0) returned = false
        keep(text)
        if (chunk[end] === lineFeed && !returned) flush()
        else if (chunk[end] === carriageReturn && length > 0) {
          flush()
          returned = true
        } else returned = false
        start = end + 1
      }
    },
    end(): void {
      if (length > 0) flush()
    },
  }
}

const endOfLine = (chunk: Buffer, start: number): number => {
  const feed = chunk.indexOf(lineFeed, start)
  const end = feed < 0 ? chunk.length : feed
  const back = chunk.subarray(start, end).indexOf(carriageReturn)
  return back < 0 ? end : start + back
}

/** The last `count` lines of what is written to it. */
export const tailOf = (count: number) => {
  const lines: string[] = []
  return {
    add(line: string): void {
      lines.push(line)
      if (lines.length > count) lines.shift()
    },
    lines: lines as readonly string[],
  }
}

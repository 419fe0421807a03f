/**
 * A job as it lives, in the terminal: a line for each phase, and one line below them that changes while
 * something goes on. Where there is no terminal, only the lines that stay are printed. A terminal obeys nothing of them.
 */
import type { Writable } from 'node:stream'
import { cut, printable, printableLines } from '../../src/text.ts'

export type Display = {
  /** A line that stays. */
  line(text?: string): void
  /** What goes on now; replaced by the next. */
  activity(text: string): void
  /** Removes the changing line. */
  done(): void
}

export function createDisplay(output: Writable & { isTTY?: boolean; columns?: number }): Display {
  const live = output.isTTY === true
  let shown = false

  function clear(): void {
    if (shown) output.write('\r\u001b[K')
    shown = false
  }

  return {
    line(text = '') {
      clear()
      output.write(`${printableLines(text)}\n`)
    },
    activity(text) {
      if (!live) return
      clear()
      output.write(cut(printable(text), (output.columns ?? 100) - 1))
      shown = true
    },
    done: clear,
  }
}

/** `█████░░░░░`. */
export function bar(share: number, width = 24): string {
  const full = Math.round(Math.min(1, Math.max(0, share)) * width)
  return '█'.repeat(full) + '░'.repeat(width - full)
}

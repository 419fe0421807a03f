/** What commands print. Names, paths and reasons in it may be strangers': a terminal obeys nothing of it. */
import { printableLines } from './text.ts'

export function print(text: string): void {
  console.log(printableLines(text))
}

/** The message of an error, on stderr. */
export function complain(error: unknown): void {
  console.error(printableLines(error instanceof Error ? error.message : String(error)))
}

/**
 * Plain lines about work that takes a while: one for each thing that a part does, one every 20 s while it does it, and
 * one at its end with the time it took. A part that says nothing was there already, and has no line.
 */
export type Report = (line: string) => void

export type Progress = { begin(name: string): Line; readonly silent: boolean }

export type Line = { say(doing: string): void; fail(): void; end(): void }

const everyMs = 20_000

export function createProgress(report: Report): Progress {
  let silent = true
  return {
    get silent() {
      return silent
    },
    begin(name) {
      const started = performance.now()
      const passed = () => duration(performance.now() - started)
      let current: string | undefined
      let failed = false
      const timer = setInterval(() => current && report(`${name}: still ${current}, ${passed()}`), everyMs)
      return {
        say(doing) {
          current = doing
          silent = false
          report(`${name}: ${doing}`)
        },
        fail() {
          failed = true
        },
        end() {
          clearInterval(timer)
          if (current) report(`${name}: ${failed ? 'failed' : 'ready'} after ${passed()}`)
        },
      }
    },
  }
}

/** `850 ms`, `12 s`, `3 min 40 s`. */
export function duration(milliseconds: number): string {
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`
  const seconds = Math.round(milliseconds / 1000)
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`
}

/**
 * How long a thread kept itself from its timers, by the processor time that it used: unlike a wall clock, that is the
 * same on a machine that is busy with other things.
 */

/** Processor time of this thread since it began, in milliseconds. */
export function threadTime(): number {
  const { user, system } = process.threadCpuUsage()
  return (user + system) / 1000
}

/** `stop` gives the most processor time that passed between two turns of a timer of 50 ms, in milliseconds. */
export function watchTimer(): { stop(): number } {
  let last = threadTime()
  let worst = 0
  const look = () => {
    const now = threadTime()
    worst = Math.max(worst, now - last)
    last = now
  }
  const timer = setInterval(look, 50)
  return {
    stop() {
      clearInterval(timer)
      look()
      return worst
    },
  }
}

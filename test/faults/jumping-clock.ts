/** Preloaded into a process (`node --import`): at each SIGUSR2 its wall clock jumps an hour ahead. Timers go on as ever. */
const hourMs = 3_600_000
const RealDate = Date
let aheadMs = 0

class JumpingDate extends RealDate {
  constructor(...values: unknown[]) {
    super(...((values.length > 0 ? values : [RealDate.now() + aheadMs]) as [number]))
  }

  static override now(): number {
    return RealDate.now() + aheadMs
  }
}

globalThis.Date = JumpingDate as unknown as DateConstructor
process.on('SIGUSR2', () => {
  aheadMs += hourMs
})

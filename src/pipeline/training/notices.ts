/**
 * What the machine notices by itself, heard for as long as its training runs: a connection that drops ends one
 * watch, and the next one is told everything again.
 */
import { Failure } from '../../failure.ts'
import type { Host, MachineEvent, MachineEventSource } from '../../remote/host.ts'
import { type Beside, keepGoing, unlessAborted } from '../beside.ts'
import { duration } from '../limits.ts'
import { startWatchdog } from '../watchdog.ts'
import type { GpuIdle } from './gpu-idle.ts'

/** Kernel messages of a GPU that is broken (NVIDIA's Xid catalogue): memory, row remapping, off the bus. */
const brokenGpu: ReadonlySet<number> = new Set([48, 63, 64, 79])

/** The disk's room alone comes every 10 s: a watch that says nothing for so long has lost its machine. */
const silenceMs = 120_000

export type Ears = {
  /** Sources that a training depends on; of others it is no news that they can't be read. */
  readonly sources: ReadonlySet<MachineEventSource>
  readonly stop: (failure: Failure) => void
  readonly idleGpu: GpuIdle
}

/** Until the signal; never rejects. */
export function hearNotices(host: Host, beside: Beside, ears: Ears): Promise<void> {
  return keepGoing(
    beside,
    'the watch over the machine (spot notices, broken or idle GPU)',
    async (signal) => {
      const deaf = new AbortController()
      const silence = startWatchdog(beside.clock, silenceMs, () =>
        deaf.abort(new Error(`nothing was heard for ${duration(silenceMs)}`)),
      )
      const either = AbortSignal.any([signal, deaf.signal])
      try {
        await unlessAborted(either, () =>
          host.watch((notice) => {
            silence.feed()
            hear(notice, beside, ears)
          }, either),
        )
        deaf.signal.throwIfAborted()
      } finally {
        silence.stop()
      }
    },
  )
}

function hear(notice: MachineEvent, { say }: Beside, { sources, stop, idleGpu }: Ears): void {
  switch (notice.kind) {
    case 'spot':
      stop(new Failure('machine-lost', `a spot notice announced its end (${notice.action})`))
      break
    case 'xid':
      if (brokenGpu.has(notice.code))
        stop(new Failure('machine-broken', `the GPU reported Xid ${notice.code}`, { evidence: notice.line }))
      break
    case 'gpu':
      idleGpu.reading(notice.utilisationPercent)
      break
    case 'unreadable':
      if (sources.has(notice.source))
        say(`the machine can't read its ${notice.source} (${notice.detail}); it goes on trying`)
      break
    case 'disk':
      break
  }
}

/**
 * A connection that is made anew when it breaks.
 *
 *   connected ──breaks──▶ reconnecting ──answers──▶ connected
 *                              └──`reconnectMs` over──▶ Failure('machine-lost')
 *
 * Whatever is done through `use` must be safe to repeat: it starts again on the new connection. Five
 * connections in a row that break within a minute mean that the machine is lost, too.
 *
 * A machine that boots refuses, is silent, or shows a host key that isn't the pinned one (its image's own, or that of
 * the address's previous machine). Nothing is sent to an unknown host, so it is retried for as long as the
 * boot may take, which the caller's signal says; later never.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Failure } from '../failure.ts'
import { ConnectionLost, openSsh, type Ssh, type SshTarget, untilAbort } from './ssh.ts'

export type Session = {
  use<Result>(work: (ssh: Ssh) => Promise<Result>, signal: AbortSignal): Promise<Result>
  close(): void
}

export type SessionOptions = {
  readonly target: SshTarget
  /** How long a machine that was there may be away; 2 minutes unless given. */
  readonly reconnectMs?: number
  /** Told why the machine can't be worked on yet, each time that it was asked at first. */
  readonly onWait?: (why: string) => void
}

/** Waits for a machine that boots until the signal aborts: it is asked again, with growing pauses. */
export const openSession = async (
  { target, reconnectMs = 2 * 60_000, onWait = () => {} }: SessionOptions,
  signal: AbortSignal,
): Promise<Session> => {
  const end = new AbortController()
  let current = await reach(target, signal, (error) => onWait(error.message))
  let next: Promise<Ssh> | undefined

  /** The open connection, or the new one that all who found it broken wait for together. */
  const connection = (): Promise<Ssh> => {
    if (!current.closed) return Promise.resolve(current)
    const giveUpAt = performance.now() + reconnectMs
    next ??= reach(target, end.signal, (cause, pause) => {
      if (cause instanceof Failure) throw cause
      if (performance.now() + pause <= giveUpAt) return
      const detail = `SSH broke and did not come back within ${reconnectMs / 1000} s (${cause.message})`
      throw new Failure('machine-lost', detail, { cause })
    })
      .then((ssh) => {
        current = ssh
        return ssh
      })
      .finally(() => {
        next = undefined
      })
    return next
  }

  return {
    async use(work, caller) {
      for (let broken = 0; ; broken++) {
        caller.throwIfAborted()
        end.signal.throwIfAborted()
        const started = performance.now()
        try {
          return await work(await untilAbort(connection(), caller))
        } catch (error) {
          if (!(error instanceof ConnectionLost)) throw error
          if (performance.now() - started > 60_000) broken = 0
          if (broken >= 4) throw new Failure('machine-lost', 'SSH breaks again and again', { cause: error })
        }
      }
    },
    close() {
      end.abort(new Error('the connection to this machine was closed by its user'))
      current.close()
    },
  }
}

/** `onRefusal` hears of each try that failed and of the pause in milliseconds before the next; it throws to give up. */
const reach = async (
  target: SshTarget,
  signal: AbortSignal,
  onRefusal: (error: ConnectionLost | Failure, pause: number) => void,
): Promise<Ssh> => {
  for (let pause = 250; ; pause = Math.min(pause * 1.5, 5_000)) {
    try {
      return await openSsh(target, signal)
    } catch (error) {
      signal.throwIfAborted()
      if (!(error instanceof Failure || error instanceof ConnectionLost)) throw error
      onRefusal(error, pause)
    }
    await sleep(pause, undefined, { signal }).catch(() => signal.throwIfAborted())
  }
}

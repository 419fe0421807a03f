/**
 * A connection that is made anew when it breaks.
 *
 *   connected ──breaks──▶ reconnecting ──answers──▶ connected
 *                              └──`reconnectMs` over──▶ Failure('machine-lost')
 *
 * Whatever is done through `use` must be safe to repeat: it starts again on the new connection. Five
 * connections in a row that break within a minute mean that the machine is lost, too.
 *
 * A machine that boots answers with a host key of its own making until the first-boot script has put the
 * pinned one in place. Nothing is said to a stranger, so it may be asked again for a while; later never.
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
  /** How long a machine may take to answer at first; 10 minutes unless given. */
  readonly connectMs?: number
  /** How long a machine that was there may be away; 2 minutes unless given. */
  readonly reconnectMs?: number
  /** How long a booting machine may show a host key that isn't the pinned one; 2 minutes unless given. */
  readonly strangerMs?: number
}

/** Waits for a machine that boots: refused, silent or unwilling, it is asked again, with growing pauses. */
export const openSession = async (
  { target, connectMs = 10 * 60_000, reconnectMs = 2 * 60_000, strangerMs = 2 * 60_000 }: SessionOptions,
  signal: AbortSignal,
): Promise<Session> => {
  const end = new AbortController()
  let current = await reach(target, { connectMs, strangerMs }, signal, (cause) => {
    const detail = `SSH did not answer within ${connectMs / 1000} s of waiting (${cause.message})`
    return new Failure('step-overran', detail, { cause })
  })
  let next: Promise<Ssh> | undefined

  /** The open connection, or the new one that all who found it broken wait for together. */
  const connection = (): Promise<Ssh> => {
    if (!current.closed) return Promise.resolve(current)
    next ??= reach(target, { connectMs: reconnectMs, strangerMs: 0 }, end.signal, (cause) => {
      const detail = `SSH broke and did not come back within ${reconnectMs / 1000} s (${cause.message})`
      return new Failure('machine-lost', detail, { cause })
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

const reach = async (
  target: SshTarget,
  limits: { readonly connectMs: number; readonly strangerMs: number },
  signal: AbortSignal,
  tooLate: (last: Error) => Failure,
): Promise<Ssh> => {
  const end = performance.now() + limits.connectMs
  let strangerEnd: number | undefined
  for (let pause = 250; ; pause = Math.min(pause * 1.5, 5_000)) {
    try {
      return await openSsh(target, signal)
    } catch (error) {
      signal.throwIfAborted()
      if (error instanceof Failure) {
        strangerEnd ??= performance.now() + limits.strangerMs
        if (performance.now() + pause > strangerEnd) throw error
      } else if (!(error instanceof ConnectionLost)) throw error
      else if (performance.now() + pause > end) throw tooLate(error)
    }
    await sleep(pause, undefined, { signal }).catch(() => signal.throwIfAborted())
  }
}

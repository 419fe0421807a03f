/**
 * Operations on Pulumi stacks, isolated so that the engine can't take the worker down: each in its own
 * process (stack-child.ts), a few at once, one at a time per stack, and retried once after a kill
 * at the deadline.
 *
 * A stale lock is cancelled where its holder is known to be dead: a process of this computer that is
 * gone, or another's when the caller says so (`mayCancelLock`).
 */
import { hostname } from 'node:os'
import PQueue from 'p-queue'
import { isAlive } from './process-session.ts'
import { type Lock, type Result, runStackChild, type StackChildOptions, StackError } from './stack-child.ts'
import type { StackOperation, StackSummary, Wanted } from './stack-messages.ts'

export type StacksOptions = StackChildOptions & {
  /** Concurrent operations; src/operations/memory.ts has the memory that each takes. Default 2. */
  readonly atOnce?: number
}

export type StackCall = {
  readonly signal?: AbortSignal
  /** Whether the lease under which the stack was locked then has provably expired. Default: never. */
  readonly mayCancelLock?: (lockedAt: Date | undefined) => boolean | Promise<boolean>
  /** Pause before an operation that was killed at its deadline is retried. */
  readonly beforeRetry?: () => Promise<void>
}

export type Outputs = Readonly<Record<string, unknown>>

export interface Stacks {
  /** Makes what is requested; an existing stack of that name is repaired. */
  up(stack: string, wanted: Wanted, call?: StackCall): Promise<Outputs>
  refresh(stack: string, call?: StackCall): Promise<void>
  /** Destroys the stack's resources, then the stack; a missing stack is fine. */
  destroy(stack: string, call?: StackCall): Promise<void>
  /** Removes an empty stack; a missing stack is fine. */
  remove(stack: string, call?: StackCall): Promise<void>
  /**
   * Removes a stack whose state can't be read, ignoring anything that it may have held: the caller has removed
   * that already. A missing stack is fine.
   */
  discard(stack: string, call?: StackCall): Promise<void>
  /** Whether a stack of that name exists, readable or not. */
  has(stack: string, call?: StackCall): Promise<boolean>
  /** Undefined where there is no such stack. */
  outputs(stack: string, call?: StackCall): Promise<Outputs | undefined>
  /** Includes stacks whose state can't be read. */
  list(call?: StackCall): Promise<readonly StackSummary[]>
  /**
   * Interrupts running operations and waits until no process or folder of theirs is left. Their calls never settle: the
   * callers are about to end, and must not take that for a failure of the cloud.
   */
  close(): Promise<void>
}

export function pulumiStacks(options: StacksOptions): Stacks {
  const queue = new PQueue({ concurrency: options.atOnce ?? 2 })

  const closing = new AbortController()
  const underWay = new Set<Promise<Result>>()

  const once = async (operation: StackOperation, stack: string, signal?: AbortSignal, wanted?: Wanted) => {
    const signals = [closing.signal, ...(signal ? [signal] : [])]
    const request = { operation, stack, ...(wanted && { wanted }) }
    const child = runStackChild(options, request, AbortSignal.any(signals))
    underWay.add(child)
    try {
      return await child
    } catch (error) {
      if (closing.signal.aborted) return await new Promise<never>(() => {})
      throw error
    } finally {
      underWay.delete(child)
    }
  }

  /** Operations on one stack take turns, so that one which is still ending does not lock out the next. */
  const turns = new Map<string, Promise<unknown>>()
  const inTurn = <T>(stack: string, work: () => Promise<T>): Promise<T> => {
    const mine = (turns.get(stack) ?? Promise.resolve()).then(() => queue.add(work))
    const settled: Promise<unknown> = mine
      .catch(() => {})
      .then(() => {
        if (turns.get(stack) === settled) turns.delete(stack)
      })
    turns.set(stack, settled)
    return mine
  }

  /** Cancels the lock of a dead holder, if that is the only obstacle. */
  const unlocked = async (operation: StackOperation, stack: string, call: StackCall, wanted?: Wanted) => {
    try {
      return await once(operation, stack, call.signal, wanted)
    } catch (error) {
      if (!(error instanceof StackError) || error.kind !== 'locked') throw error
      if (!isDead(error.lock) && !(await call.mayCancelLock?.(error.lock?.at))) throw error
      await once('cancel', stack, call.signal)
      return once(operation, stack, call.signal, wanted)
    }
  }

  /** Retries once after a kill at the deadline. */
  const perform = (operation: StackOperation, stack: string, call: StackCall = {}, wanted?: Wanted) =>
    inTurn(stack, async () => {
      try {
        return await unlocked(operation, stack, call, wanted)
      } catch (error) {
        if (!(error instanceof StackError) || error.kind !== 'overran') throw error
        await call.beforeRetry?.()
        // `up` refreshes by itself where there is something to refresh.
        if (operation === 'destroy') await unlocked('refresh', stack, call).catch(ignoreMissing)
        return unlocked(operation, stack, call, wanted)
      }
    })

  return {
    up: async (stack, wanted, call) => (await perform('up', stack, call, wanted)).outputs ?? {},
    refresh: async (stack, call) => void (await perform('refresh', stack, call)),
    destroy: async (stack, call) => void (await perform('destroy', stack, call).catch(ignoreMissing)),
    remove: async (stack, call) => void (await perform('remove', stack, call).catch(ignoreMissing)),
    discard: async (stack, call) => void (await perform('discard', stack, call).catch(ignoreMissing)),
    has: async (stack, call) => (await perform('has', stack, call).catch(ignoreMissing)) !== undefined,
    outputs: async (stack, call) => (await perform('outputs', stack, call).catch(ignoreMissing))?.outputs,
    list: async (call) =>
      ((await perform('list', '', call)).stacks ?? []).map(({ name, updatedAt }) => ({
        name,
        updatedAt: updatedAt === undefined ? undefined : new Date(updatedAt),
      })),
    async close() {
      closing.abort()
      await Promise.allSettled(underWay)
    },
  }
}

function ignoreMissing(error: unknown): undefined {
  if (error instanceof StackError && error.kind === 'missing') return undefined
  throw error
}

function isDead(lock: Lock | undefined): boolean {
  return lock?.host === hostname() && !isAlive(lock.pid)
}

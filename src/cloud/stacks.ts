/**
 * Operations on Pulumi stacks, so kept that the engine can't take the worker down: each in a process of
 * its own (stack-child.ts), a few at once, one at a time on a stack, and tried a second time after a kill
 * at the deadline.
 *
 * A lock left behind is cancelled where its holder is known to be dead: a process of this computer that is
 * gone, or another's when the caller says so (`mayCancelLock`).
 */
import { hostname } from 'node:os'
import PQueue from 'p-queue'
import { isAlive } from './process-session.ts'
import { type Lock, type Result, runStackChild, type StackChildOptions, StackError } from './stack-child.ts'
import type { StackOperation, StackSummary, Wanted } from './stack-messages.ts'

export type StacksOptions = StackChildOptions & {
  /** Operations at once; how much memory each takes is in src/operations/memory.ts. Default 2. */
  readonly atOnce?: number
}

export type StackCall = {
  readonly signal?: AbortSignal
  /** Whether the lease of whoever locked the stack then is provably over. Default: never. */
  readonly mayCancelLock?: (lockedAt: Date | undefined) => boolean | Promise<boolean>
  /** Before an operation that was killed at its deadline is tried a second time. */
  readonly beforeRetry?: () => Promise<void>
}

export type Outputs = Readonly<Record<string, unknown>>

export interface Stacks {
  /** Makes what is wanted; a stack of that name is mended. */
  up(stack: string, wanted: Wanted, call?: StackCall): Promise<Outputs>
  refresh(stack: string, call?: StackCall): Promise<void>
  /** Destroys what the stack holds, and then the stack; none of that name is fine. */
  destroy(stack: string, call?: StackCall): Promise<void>
  /** Removes an empty stack; none of that name is fine. */
  remove(stack: string, call?: StackCall): Promise<void>
  /**
   * Removes a stack whose state can't be read, and looks at nothing that it may have held: whoever calls this has removed
   * that already. None of that name is fine.
   */
  discard(stack: string, call?: StackCall): Promise<void>
  /** Whether there is a stack of that name, readable or not. */
  has(stack: string, call?: StackCall): Promise<boolean>
  /** Undefined where there is no such stack. */
  outputs(stack: string, call?: StackCall): Promise<Outputs | undefined>
  /** One whose state can't be read is listed as the others are. */
  list(call?: StackCall): Promise<readonly StackSummary[]>
  /**
   * Interrupts what is under way and waits until no process and no folder of it is left. Its calls never settle: whoever
   * made them is about to end, and must not take that for a failure of the cloud.
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

  /** The operations on one stack take turns, so that one which is still ending does not lock out the next. */
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

  /** Cancels the lock of a dead holder, if that is all that is in the way. */
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

  /** Tries a second time after a kill at the deadline. */
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

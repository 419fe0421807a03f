/** The messages between a worker and the child process of one stack operation, as JSON lines. */
import type { SystemError } from './system-error.ts'

export type StackOperation =
  | 'up'
  | 'refresh'
  | 'destroy'
  | 'remove'
  | 'discard'
  | 'has'
  | 'outputs'
  | 'cancel'
  | 'list'

export type Wanted = {
  /** Of the inline program. They hold secrets: they are sent over the pipe only. */
  readonly inputs: unknown
  /** The stack's configuration, such as `aws:region`; no secrets. */
  readonly config?: Readonly<Record<string, string>>
}

/** Sent once, as the first line of the child's stdin. Stdin then stays open for as long as the worker lives. */
export type StackRequest = {
  readonly operation: StackOperation
  readonly project: string
  /** Empty for `list`. */
  readonly stack: string
  /** URL of the module that exports the inline program, `gpuMachine(inputs)`. */
  readonly program: string
  /** For `up` only. */
  readonly wanted?: Wanted
  /** The child ends its whole session after this time, in case the worker is paused or can't kill it. */
  readonly lastResortMs: number
}

export type StackSummary = { readonly name: string; readonly updatedAt: Date | undefined }

export type StackFault = {
  /**
   * `locked`: another operation holds the stack. `missing`: there is no such stack. `unreadable`: there is one, and its
   * state is empty, cut or corrupt.
   */
  readonly kind: 'locked' | 'missing' | 'unreadable' | 'failed'
  readonly message: string
  /** Set if this computer is at fault. */
  readonly system?: SystemError
}

/** Lines of the child's stdout. The last one is a result or a fault. */
export type StackLine =
  | { readonly line: 'resource'; readonly doing: string; readonly type: string; readonly name: string }
  | { readonly line: 'diagnostic'; readonly severity: string; readonly message: string }
  | {
      readonly line: 'result'
      readonly outputs?: Readonly<Record<string, unknown>>
      readonly stacks?: readonly { name: string; updatedAt?: string }[]
    }
  | { readonly line: 'fault'; readonly fault: StackFault }

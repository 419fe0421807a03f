export type Latest<Value> = {
  /** Written as soon as the write before is done, unless a newer one has come by then. */
  write(value: Value): void
  /** Settles when nothing is under way or waiting. */
  idle(): Promise<void>
}

/** One write at a time and at most one that waits, the newest: however fast values come, nothing piles up. */
export function latest<Value>(action: (value: Value) => Promise<unknown>): Latest<Value> {
  let waiting: { readonly value: Value } | undefined
  let working: Promise<void> | undefined

  async function work(): Promise<void> {
    while (waiting) {
      const { value } = waiting
      waiting = undefined
      await action(value).catch(() => {}) // who cares for it catches it in the action
    }
    working = undefined
  }

  return {
    write(value) {
      waiting = { value }
      working ??= work()
    },
    idle: async () => working,
  }
}

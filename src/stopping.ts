/**
 * Ending a worker's parts, each within its time: what hangs is left, and named. Nothing that is left is lost: leases run
 * out, stacks' processes end by themselves once the worker has, and the next worker goes on.
 */
export type Part = {
  /** What is left if it does not end in time, such as `the database's connections`. */
  readonly name: string
  readonly limitMs: number
  readonly end: () => Promise<unknown>
  /** What of it is still there, for people. */
  readonly left?: () => string
}

/** One group after the other, the parts of a group side by side. Returns what was left, with the reason. */
export async function endParts(groups: readonly (readonly Part[])[]): Promise<readonly string[]> {
  const left: string[] = []
  for (const parts of groups) {
    const reasons = await Promise.all(parts.map(reasonItIsLeft))
    left.push(...reasons.filter((reason) => reason !== undefined))
  }
  return left
}

async function reasonItIsLeft({ name, limitMs, end, left }: Part): Promise<string | undefined> {
  const over = Promise.withResolvers<string>()
  const timer = setTimeout(() => {
    const what = [name, left?.()].filter(Boolean).join(' ')
    over.resolve(`${what} (still there after ${limitMs / 1000} s)`)
  }, limitMs)
  const ended = (async () => {
    await end()
    return undefined
  })().catch((error: Error) => `${name} (${error.message})`)
  return Promise.race([ended, over.promise]).finally(() => clearTimeout(timer))
}

/** What must come back of a charge, worked out apart from the code that pays it: a range, since a machine costs on while it ends. */
type Facts = {
  readonly charged: number
  readonly steps: number
  readonly planned: number
  readonly costPoints: number
}

const nothing = ['trained']
const notTrained = ['trained-in-part']
const keepsCost = ['trainer-refused', 'trainer-diverged', 'out-of-memory']

/** Whole points: the least and the most. */
export function refundRange(
  ending: string,
  { charged, steps, planned, costPoints }: Facts,
): [number, number] {
  const missing = planned > 0 ? Math.max(0, planned - steps) / planned : 1
  const unused = Math.floor(charged * missing + 1e-9)
  const less = Math.max(0, charged - Math.ceil(costPoints))
  if (nothing.includes(ending)) return [0, 0]
  if (notTrained.includes(ending)) return [unused, unused]
  if (ending === 'cancelled') return [Math.min(unused, less), unused]
  if (keepsCost.includes(ending)) return [less, charged]
  return [charged, charged]
}

/** Names of machines and stacks: `bellows-<training id>-<attempt>`. */
export type MachineName = { readonly trainingId: string; readonly attempt: number }

/** The parts of a name; undefined for a name that Bellows did not give. */
export function parseMachineName(name: string): MachineName | undefined {
  const match = /^bellows-([0-9a-z]+)-(\d+)$/.exec(name)
  return match ? { trainingId: match[1] as string, attempt: Number(match[2]) } : undefined
}

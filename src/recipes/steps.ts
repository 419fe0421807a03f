/** How many steps a dataset of so many images gets where no override gives it. */
export function stepsFor(rule: { readonly perImage: number; readonly min: number; readonly max: number }) {
  return (images: number): number =>
    Math.min(rule.max, Math.max(rule.min, Math.round((images * rule.perImage) / 50) * 50))
}

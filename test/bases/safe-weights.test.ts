/** Weights in other formats may hold programs that run when they are loaded. */
import { globSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

/** Loaded from configuration alone. */
const withoutWeights = /(?:Scheduler|Tokenizer)$/

test('every model of a trainer is loaded from safetensors only', () => {
  const loads = globSync('images/**/*.py').flatMap((path) =>
    [
      ...readFileSync(path, 'utf8').matchAll(
        /(\w+)\.from_pretrained(\((?:[^()]|\([^()]*(?:\([^()]*\))*[^()]*\))*\))/g,
      ),
    ].map(([, of = '', values = '']) => ({ path, of, values })),
  )
  const weighty = loads.filter(({ of }) => !withoutWeights.test(of))
  expect(weighty.length).toBeGreaterThan(9)
  expect(weighty.filter(({ values }) => !values.includes('use_safetensors=True'))).toEqual([])
})

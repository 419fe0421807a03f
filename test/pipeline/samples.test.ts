import { describe, expect, it } from 'vitest'
import { chooseSamples } from '../../src/pipeline/steps/samples.ts'

const mebibyte = 1024 * 1024
const file = (path: string, size = 10) => ({ path, size, sha256: '' })

describe('samples that are published', () => {
  it('are pictures in their folder, and nothing else', () => {
    const files = [
      'samples/60-1.png',
      'samples/a.html',
      'kite.safetensors',
      'samples/deep/b.png',
      'other/c.png',
    ]
    const { samples, leftOut } = chooseSamples(files.map((path) => file(path)))
    expect(samples.map(({ path }) => path)).toEqual(['samples/60-1.png'])
    expect(leftOut).toBeUndefined()
  })

  it('are the newest 64, by number', () => {
    const files = Array.from({ length: 70 }, (_, index) => file(`samples/${index + 1}-1.png`)).reverse()
    const { samples, leftOut } = chooseSamples(files)
    expect(samples.map(({ path }) => path)).toEqual(
      Array.from({ length: 64 }, (_, index) => `samples/${index + 7}-1.png`),
    )
    expect(leftOut).toMatch(/^6 samples were left out/)
  })

  it('have at most 32 MiB each, and are not empty', () => {
    const sizes = [0, 1, 32 * mebibyte, 32 * mebibyte + 1]
    const { samples, leftOut } = chooseSamples(sizes.map((size, index) => file(`samples/${index}.png`, size)))
    expect(samples.map(({ size }) => size)).toEqual([1, 32 * mebibyte])
    expect(leftOut).toMatch(/^2 samples were left out/)
  })
})

import { describe, expect, it } from 'vitest'
import { isConnectionError, isTransientStatus, retry } from '../src/retry.ts'

const always = () => true
const quick = { firstDelayMs: 1, maxDelayMs: 2 }

describe('a retry', () => {
  it('goes on until it works, and says which try it is', async () => {
    const tries: number[] = []
    const work = async (attempt: number) => {
      tries.push(attempt)
      if (attempt < 3) throw new Error('not yet')
      return 'done'
    }
    expect(await retry(work, always, quick)).toBe('done')
    expect(tries).toEqual([1, 2, 3])
  })

  it('gives up with the last error when the tries are used up, or at once when it can never work', async () => {
    let tries = 0
    const work = async () => {
      throw new Error(`try ${++tries}`)
    }
    await expect(retry(work, always, { ...quick, attempts: 3 })).rejects.toThrow('try 3')
    await expect(retry(work, () => false, quick)).rejects.toThrow('try 4')
  })

  it('ends a wait when it is told to stop', async () => {
    const stop = new AbortController()
    const work = async () => {
      stop.abort(new Error('cancelled'))
      throw new Error('failed')
    }
    const policy = { firstDelayMs: 1_000_000, maxDelayMs: 1_000_000, signal: stop.signal }
    await expect(retry(work, always, policy)).rejects.toThrow()
  })
})

it('knows what a second try may change', () => {
  expect([408, 409, 429, 500, 503].every(isTransientStatus)).toBe(true)
  expect([400, 401, 403, 404, 412, 422].some(isTransientStatus)).toBe(false)
  const reset = Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' })
  expect(isConnectionError(new TypeError('fetch failed', { cause: reset }))).toBe(true)
  expect(isConnectionError(new TypeError('x is not a function'))).toBe(false)
})

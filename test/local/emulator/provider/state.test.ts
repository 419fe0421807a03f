import { readdirSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { expect, test } from 'vitest'
import { State } from '../../../../local/emulator/provider/state.ts'
import { sampleInstance, samplePath } from './samples.ts'

test('what one process wrote, the next one finds', () => {
  const file = samplePath()
  const first = new State(file)
  first.putInstance(sampleInstance())
  first.putResource({ id: 'one', type: 'a', inputs: {}, outputs: {}, createdAt: '' })
  first.putResource({ id: 'two', type: 'a', inputs: {}, outputs: {}, createdAt: '' })
  first.removeResource('a', 'one')
  const second = new State(file)
  expect(second.instances()).toEqual([sampleInstance({ launchedAt: first.instances()[0]?.launchedAt ?? '' })])
  expect(second.resources('a').map(({ id }) => id)).toEqual(['two'])
})

test('the file is for its owner only, and nothing lies beside it', () => {
  const file = samplePath()
  new State(file).putInstance(sampleInstance())
  expect(statSync(file).mode & 0o777).toBe(0o600)
  expect(readdirSync(dirname(file))).toEqual(['clouds.json'])
})

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { expect, test } from 'vitest'
import { withLock } from '../../../local/setup/lock.js'

const name = (test: string) => `${test} ${process.pid}`

test('of many at once only one is inside at any time, and all get in', async () => {
  let inside = 0
  let most = 0
  const work = async () => {
    most = Math.max(most, ++inside)
    await new Promise(setImmediate)
    inside--
  }
  await Promise.all(Array.from({ length: 8 }, () => withLock(name('many'), work)))
  expect(most).toBe(1)
})

test('work that fails lets go of the lock, and its error comes through', async () => {
  const failing = withLock(name('failing'), () => Promise.reject(new Error('no')))
  await expect(failing).rejects.toThrow('no')
  expect(await withLock(name('failing'), async () => 'next')).toBe('next')
})

test('locks of different names have nothing to do with each other', async () => {
  expect(await withLock(name('one'), () => withLock(name('other'), async () => 'both'))).toBe('both')
})

test('the lock of a process that is killed is free', async () => {
  const module = new URL('../../../local/setup/lock.js', import.meta.url)
  const program = `
    import { withLock } from ${JSON.stringify(module)}
    await withLock(${JSON.stringify(name('killed'))}, () => new Promise(() => { console.log('inside'); setInterval(() => {}, 1000) }))`
  const holder = spawn(process.execPath, ['--input-type=module', '--eval', program])
  await once(holder.stdout, 'data')
  const waiting = Promise.withResolvers<void>()
  const next = withLock(name('killed'), async () => 'mine', waiting.resolve)
  await waiting.promise
  holder.kill('SIGKILL')
  expect(await next).toBe('mine')
})

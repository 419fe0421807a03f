import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, rm, symlink, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { makeTemporaryFolder, sweepTemporaryFolders } from '../src/temporary-folder.ts'

let root: string

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'bellows-test-'))
})
afterEach(() => rm(root, { recursive: true }))

const module = new URL('../src/temporary-folder.ts', import.meta.url)

/** A process that has made a folder with a credential in it, and lives on. */
async function holder() {
  const program = `
    import { writeFile } from 'node:fs/promises'
    import { makeTemporaryFolder } from ${JSON.stringify(module)}
    const folder = await makeTemporaryFolder('stack', ${JSON.stringify(root)})
    await writeFile(folder + '/credentials', 'aws_secret_access_key = x')
    console.log(folder)
    setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program])
  const [folder] = (await once(child.stdout, 'data')) as [Buffer]
  return { child, name: basename(folder.toString().trim()) }
}

test('a killed process’s folder is removed at the next start with its contents; a living one’s is not', async () => {
  const [killed, living] = [await holder(), await holder()]
  const mine = basename(await makeTemporaryFolder('dataset', root))
  expect(await sweepTemporaryFolders(root)).toEqual([])
  killed.child.kill('SIGKILL')
  await once(killed.child, 'exit')
  expect(await sweepTemporaryFolders(root)).toEqual([killed.name])
  expect((await readdir(root)).sort()).toEqual([living.name, mine].sort())
  living.child.kill('SIGKILL')
  await once(living.child, 'exit')
})

test('a process that has been given the same number since does not keep a folder', async () => {
  const mine = basename(await makeTemporaryFolder('stack', root))
  const before = mine.replace(/\.(\d+)-/, (_, start) => `.${Number(start) - 1}-`)
  await mkdir(join(root, before))
  expect(await sweepTemporaryFolders(root)).toEqual([before])
  expect(await readdir(root)).toEqual([mine])
})

test('of another boot, or another container, a folder goes when a day has passed', async () => {
  const name = 'bellows-stack-00000000.7.1234-AbCd12'
  await mkdir(join(root, name))
  expect(await sweepTemporaryFolders(root)).toEqual([])
  const dayAgo = new Date(Date.now() - 25 * 3_600_000)
  await utimes(join(root, name), dayAgo, dayAgo)
  expect(await sweepTemporaryFolders(root)).toEqual([name])
})

test('what others have put there stays, whatever it is called', async () => {
  const ended = basename(await makeTemporaryFolder('stack', root)).replace(/\.(\d+)-/, '.1-')
  await rm(root, { recursive: true })
  await mkdir(root)
  const outside = await mkdtemp(join(tmpdir(), 'bellows-test-'))
  try {
    await mkdir(join(root, 'bellows-demo-x'))
    await mkdir(join(root, 'someone-stack-00000000.7.1234-AbCd12'))
    await writeFile(join(root, ended.replace(/......$/, 'aFileX')), '')
    await symlink(outside, join(root, ended))
    await writeFile(join(outside, 'kept'), '')
    const before = await readdir(root)
    expect(await sweepTemporaryFolders(root)).toEqual([])
    expect(await readdir(root)).toEqual(before)
    expect(existsSync(join(outside, 'kept'))).toBe(true)
  } finally {
    await rm(outside, { recursive: true })
  }
})

test('a folder that is not there yet is made, and a missing one sweeps nothing', async () => {
  const folder = await makeTemporaryFolder('stack', join(root, 'deep/er'))
  expect(existsSync(folder)).toBe(true)
  expect(await sweepTemporaryFolders(join(root, 'nowhere'))).toEqual([])
})

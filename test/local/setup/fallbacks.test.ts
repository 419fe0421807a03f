import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { cached } from '../../../local/setup/cache.ts'
import { download, reachable } from '../../../local/setup/download.ts'
import { firstThatWorks } from '../../../local/setup/fallbacks.ts'

let cache: string
beforeEach(() => {
  cache = mkdtempSync(join(tmpdir(), 'bellows-cache-'))
})
afterEach(() => rmSync(cache, { recursive: true }))

const sha256OfHello = '2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824'

async function serving(body: string) {
  const server = createServer((_, response) => response.end(body)).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return { url, [Symbol.asyncDispose]: () => new Promise<void>((resolve) => server.close(() => resolve())) }
}

describe('of several ways to get a part', () => {
  it('the first is taken where its host answers', async () => {
    await using host = await serving('hello')
    const said: string[] = []
    const official = { doing: 'downloading', hosts: [host.url], make: fetchTo(host.url, sha256OfHello) }
    await cached(cache, 'tool', (folder) =>
      firstThatWorks([official, build], folder, (text) => said.push(text)),
    )
    expect(said).toEqual(['downloading'])
    expect(readFileSync(join(cache, 'tool/tool'), 'utf8')).toBe('hello')
  })

  it('a download that is not what was published is thrown away, and the next is taken', async () => {
    await using host = await serving('something else')
    const official = { doing: 'downloading', hosts: [host.url], make: fetchTo(host.url, sha256OfHello) }
    await cached(cache, 'tool', (folder) => firstThatWorks([official, build], folder, () => {}))
    expect(readdirSync(join(cache, 'tool'))).toEqual(['built'])
  })

  it('one whose host is out of reach is not tried', async () => {
    const gone = await serving('')
    await gone[Symbol.asyncDispose]()
    expect(await reachable(gone.url)).toBe(false)
    const official = { doing: 'downloading', hosts: [gone.url], make: () => expect.unreachable() }
    await cached(cache, 'tool', (folder) => firstThatWorks([official, build], folder, () => {}))
    expect(existsSync(join(cache, 'tool/built'))).toBe(true)
  })

  it('none that works is an error that names each, and leaves nothing', async () => {
    const ways = [failing('downloading', 'no space'), failing('building', 'no Go')]
    const made = cached(cache, 'tool', (folder) => firstThatWorks(ways, folder, () => {}))
    await expect(made).rejects.toThrow('downloading: no space; building: no Go')
    expect(readdirSync(cache)).toEqual([])
  })
})

describe('an entry of the cache', () => {
  it('is made once, however many want it at once', async () => {
    let times = 0
    const make = async () => void times++
    await Promise.all(Array.from({ length: 5 }, () => cached(cache, 'deep/tool', make)))
    expect(times).toBe(1)
    expect(readdirSync(join(cache, 'deep'))).toEqual(['tool'])
  })

  it('replaces what a set-up that was killed has left', async () => {
    await writeFile(join(cache, '.making-tool-x7Yz'), 'half')
    await cached(cache, 'tool', async (folder) => writeFile(join(folder, 'whole'), ''))
    expect(readdirSync(cache)).toEqual(['tool'])
    expect(readdirSync(join(cache, 'tool'))).toEqual(['whole'])
  })
})

const fetchTo = (url: string, sha256: string) => (folder: string) =>
  download(url, join(folder, 'tool'), sha256)
const build = { doing: 'building', make: (folder: string) => writeFile(join(folder, 'built'), '') }
const failing = (doing: string, why: string) => ({ doing, make: () => Promise.reject(new Error(why)) })

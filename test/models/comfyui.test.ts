import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { comfyDeploy } from '../../src/models/comfy-deploy.ts'
import { syncComfyUi, watchComfyUi } from '../../src/models/comfyui-sync.ts'
import { Secret } from '../../src/secret.ts'

const token = new Secret('canary-token')
const retry = { firstDelayMs: 1 }
const file = {
  modelId: 'm'.repeat(24),
  filename: 'red-kite-234567.safetensors',
  url: 'https://models.example/loras/1/red-kite-234567.safetensors',
  size: 3,
  sha256: 'a'.repeat(64),
}

let server: Server
let handle: (request: IncomingMessage, response: ServerResponse, body: string) => void
let address: string
let folder: string

beforeEach(async () => {
  server = createServer(async (request, response) => {
    let body = ''
    for await (const chunk of request) body += chunk
    handle(request, response, body)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  folder = await mkdtemp(join(tmpdir(), 'bellows-test-'))
})
afterEach(async () => {
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
  await rm(folder, { recursive: true })
})

describe('ComfyDeploy', () => {
  /** Refuses what the real one refuses: another path, method, key, type, or a missing field. */
  function realOne(request: IncomingMessage, response: ServerResponse, body: string) {
    const answer = (status: number, text: unknown): void => {
      response.writeHead(status).end(JSON.stringify(text))
    }
    if (request.url !== '/api/volume/model') return answer(404, { error: 'not found' })
    if (request.method !== 'POST') return answer(405, { error: 'method' })
    if (request.headers.authorization !== 'Bearer canary-token') {
      return answer(401, { error: `bad key ${request.headers.authorization}` })
    }
    if (request.headers['content-type'] !== 'application/json') return answer(415, { error: 'type' })
    const { source, folderPath, filename, downloadLink } = JSON.parse(body)
    const right =
      source === 'link' && folderPath === 'loras' && /^[^/]+$/.test(filename) && URL.canParse(downloadLink)
    answer(right ? 200 : 422, right ? { id: `volume-${filename}` } : { error: 'unprocessable' })
  }

  it('is told of the link, and gives its id', async () => {
    handle = realOne
    expect(await comfyDeploy({ endpoint: address, key: token }).install(file)).toBe(`volume-${file.filename}`)
  })

  it('may call its id fileId', async () => {
    handle = (_, response) => response.end('{"fileId":"f1"}')
    expect(await comfyDeploy({ endpoint: address, key: token }).install(file)).toBe('f1')
  })

  it('is asked again when it is overloaded or hangs up, not when it refuses', async () => {
    let asked = 0
    handle = (request, response, body) => {
      asked++
      if (asked === 1) response.writeHead(503).end()
      else if (asked === 2) response.destroy()
      else realOne(request, response, body)
    }
    await comfyDeploy({ endpoint: address, key: token, retry }).install(file)
    expect(asked).toBe(3)
    const refused = comfyDeploy({ endpoint: address, key: token, retry }).install({
      ...file,
      filename: 'a/b',
    })
    await expect(refused).rejects.toThrow('ComfyDeploy answered 422: {"error":"unprocessable"}')
    expect(asked).toBe(4)
  })

  it('never puts the key into an error, even when the service repeats it', async () => {
    handle = (request, response) => response.writeHead(401).end(`bad key ${request.headers.authorization}`)
    const error = await comfyDeploy({ endpoint: address, key: token })
      .install(file)
      .catch((each) => each)
    expect(error.message).toBe('ComfyDeploy answered 401: bad key Bearer [redacted]')
  })

  it('fails in words when its answer has no id, or it is too slow', async () => {
    handle = (_, response) => response.end('<html>')
    const comfy = comfyDeploy({ endpoint: address, key: token, timeoutMs: 50, retry: { attempts: 1 } })
    await expect(comfy.install(file)).rejects.toThrow('neither id nor fileId')
    handle = () => {}
    await expect(comfy.install(file)).rejects.toThrow(/timeout/)
  })
})

describe('bellows sync', () => {
  const bodies = new Map<string, Buffer>()
  let list: unknown

  function offer(...named: [string, string][]): void {
    bodies.clear()
    list = named.map(([filename, content], index) => {
      bodies.set(`/files/${index}`, Buffer.from(content))
      const sha256 = createHash('sha256').update(content).digest('hex')
      const modelId = `model of ${filename}`
      return { modelId, filename, url: `${address}/files/${index}`, size: Buffer.byteLength(content), sha256 }
    })
  }

  beforeEach(() => {
    handle = (request, response) => {
      const body = bodies.get(request.url ?? '')
      if (body) return response.end(body)
      if (request.url !== '/comfyui/files') return response.writeHead(404).end()
      if (request.headers.authorization !== 'Bearer canary-token') return response.writeHead(401).end()
      return response.end(JSON.stringify(list))
    }
  })

  const sync = (options = {}) => syncComfyUi({ from: address, token, to: folder, retry, ...options })

  it('brings what is new, once', async () => {
    offer(['a.safetensors', 'aaa'], ['b.safetensors', 'bb'])
    expect(await sync()).toEqual({ downloaded: ['a.safetensors', 'b.safetensors'], refused: [] })
    expect(await readFile(join(folder, 'a.safetensors'), 'utf8')).toBe('aaa')
    expect(await sync()).toEqual({ downloaded: [], refused: [] })
    expect((await readdir(folder)).sort()).toEqual(['.bellows-sync.json', 'a.safetensors', 'b.safetensors'])
  })

  it('replaces its own files only, and adopts a copy that is there', async () => {
    await writeFile(join(folder, 'mine.safetensors'), 'by hand')
    await writeFile(join(folder, 'same.safetensors'), 'same')
    offer(['mine.safetensors', 'trained'], ['same.safetensors', 'same'], ['ours.safetensors', 'v1'])
    expect(await sync()).toEqual({ downloaded: ['ours.safetensors'], refused: ['mine.safetensors'] })
    offer(['ours.safetensors', 'v2'])
    expect((await sync()).downloaded).toEqual(['ours.safetensors'])
    expect(await readFile(join(folder, 'mine.safetensors'), 'utf8')).toBe('by hand')
    expect(await readFile(join(folder, 'ours.safetensors'), 'utf8')).toBe('v2')
  })

  it("never lets one model replace another's file", async () => {
    offer(['kite.safetensors', 'v1'])
    await sync()
    offer(['kite.safetensors', 'other'])
    list = (list as object[]).map((each) => ({ ...each, modelId: 'another model' }))
    const told: string[] = []
    const outcome = await sync({ onFile: (...said: string[]) => told.push(said.join(' ')) })
    expect(outcome).toEqual({ downloaded: [], refused: ['kite.safetensors'] })
    expect(told[0]).toContain('a file of another model has that name already')
    expect(await readFile(join(folder, 'kite.safetensors'), 'utf8')).toBe('v1')
  })

  it('follows no link that was planted in the folder', async () => {
    const outside = await mkdtemp(join(tmpdir(), 'bellows-test-'))
    const victim = join(outside, 'victim')
    const untouched = '{"a.safetensors":{"sha256":"0"}}'
    await writeFile(victim, untouched)
    offer(['a.safetensors', 'aaa'], ['b.safetensors', 'bb'], ['c.safetensors', 'c'])
    await symlink(victim, join(folder, 'a.safetensors'))
    await symlink(join(outside, 'new'), join(folder, 'b.safetensors'))
    await symlink(victim, join(folder, '.c.safetensors.part'))
    await symlink(victim, join(folder, '.bellows-sync.json'))
    await symlink(victim, join(folder, '.bellows-sync.json.part'))
    expect(await sync()).toEqual({
      downloaded: ['c.safetensors'],
      refused: ['a.safetensors', 'b.safetensors'],
    })
    expect(await readFile(victim, 'utf8')).toBe(untouched)
    expect(await readdir(outside)).toEqual(['victim'])
    expect(await sync()).toMatchObject({ downloaded: [] })
    await rm(outside, { recursive: true })
  })

  it('follows no redirect, wherever it leads', async () => {
    offer(['a.safetensors', 'aaa'])
    const asked: string[] = []
    const serve = handle
    handle = (request, response, body) => {
      asked.push(request.url ?? '')
      if (request.url === '/files/0') response.writeHead(302, { location: '/inner' }).end()
      else serve(request, response, body)
    }
    expect((await sync()).refused).toEqual(['a.safetensors'])
    expect(asked).toEqual(['/comfyui/files', '/files/0'])
  })

  it('reads no list of more than 16 MiB or 20,000 files', async () => {
    offer(['a.safetensors', 'aaa'])
    const [one] = list as object[]
    list = Array.from({ length: 20_001 }, () => one)
    await expect(sync()).rejects.toThrow(/20000/)
    let sent = 0
    handle = (_, response) => {
      const more = (): void => {
        while (!response.destroyed && response.write(' '.repeat(1 << 20))) sent++
        if (!response.destroyed) response.once('drain', more)
      }
      more()
    }
    await expect(sync()).rejects.toThrow('the list of files is longer than 16777216 bytes')
    expect(sent).toBeLessThan(64)
  })

  it('refuses names that leave the folder or are no models, and goes on with the others', async () => {
    const names = [
      '../up.safetensors',
      '/root.safetensors',
      'a\\b.safetensors',
      '.hidden.safetensors',
      'run.py',
      'a\n.safetensors',
      'C:x.safetensors',
    ]
    offer(...names.map((name): [string, string] => [name, 'x']), ['good.safetensors', 'x'])
    expect(await sync()).toEqual({ downloaded: ['good.safetensors'], refused: names })
    expect((await readdir(folder)).sort()).toEqual(['.bellows-sync.json', 'good.safetensors'])
  })

  it.each<[string, (body: Buffer) => Buffer, string]>([
    ['has another sum', () => Buffer.from('AAA'), 'sha256'],
    ['is too long', (body) => Buffer.concat([body, body]), 'longer than'],
    ['is cut off', (body) => body.subarray(1), 'ended after 2 of 3 bytes'],
  ])('leaves nothing of a file that %s', async (_, spoil, why) => {
    offer(['a.safetensors', 'aaa'])
    bodies.set('/files/0', spoil(Buffer.from('aaa')))
    const told: string[] = []
    const outcome = await sync({ onFile: (...said: string[]) => told.push(said.join(' ')) })
    expect(outcome.refused).toEqual(['a.safetensors'])
    expect(told[0]).toContain(why)
    expect(await readdir(folder)).toEqual([])
  })

  it('tries a download again when the line breaks', async () => {
    offer(['a.safetensors', 'aaa'])
    const serve = handle
    let broken = 0
    handle = (request, response, body) => {
      if (request.url !== '/files/0' || broken++ > 1) return serve(request, response, body)
      response.writeHead(200, { 'content-length': 3 }).write('a', () => response.destroy())
    }
    expect((await sync()).downloaded).toEqual(['a.safetensors'])
  })

  it('says who refused when the token is wrong or the list makes no sense', async () => {
    await expect(sync({ token: new Secret('other') })).rejects.toThrow(
      `${address}/comfyui/files answered 401`,
    )
    list = [{ filename: 'x' }]
    await expect(sync()).rejects.toThrow()
  })

  it('waits its time before it asks a worker again that did not answer', async () => {
    let asked = 0
    handle = (request, response) => {
      if (request.url === '/comfyui/files') asked++
      response.writeHead(500).end()
    }
    const stop = new AbortController()
    const failed = Promise.withResolvers<void>()
    const options = { from: address, token, to: folder, retry: { attempts: 1 }, signal: stop.signal }
    const watching = watchComfyUi(options, 3_600_000, () => failed.resolve())
    await failed.promise
    for (let answered = 0; answered < 20; answered++) await (await fetch(address)).text()
    expect(asked).toBe(1)
    stop.abort()
    await watching
  })

  it('keeps watching through a failure until it is told to stop', async () => {
    offer()
    const stop = new AbortController()
    const errors: string[] = []
    const found = new Promise<void>((resolve) => {
      const onFile = () => resolve()
      const options = {
        from: address,
        token,
        to: folder,
        retry: { attempts: 1 },
        signal: stop.signal,
        onFile,
      }
      const serve = handle
      handle = (_, response) => response.writeHead(500).end()
      const watching = watchComfyUi(options, 1, (error) => {
        errors.push(error.message)
        handle = serve
        offer(['late.safetensors', 'x'])
      })
      stop.signal.addEventListener('abort', () => watching.then(() => errors.push('ended')))
    })
    await found
    stop.abort()
    await expect.poll(() => errors).toEqual([`${address}/comfyui/files answered 500`, 'ended'])
  })
})

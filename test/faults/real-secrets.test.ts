/**
 * Canaries: every setting that is a secret gets a value that can be recognised, one job succeeds and one fails, with
 * an engine, a webhook and a ComfyUI that complain on the way; then all that was written anywhere is searched.
 */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createReadStream } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { BSON } from 'mongodb'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { docker } from '../../local/emulator/machines/docker.ts'
import { machineKeys } from '../../src/cloud/machine-keys.ts'
import { settingsSchema } from '../../src/config.ts'
import { Secret } from '../../src/secret.ts'
import { type Deployment, startDeployment } from './deployment.ts'
import { measured } from './figures.ts'
import { fileSystemOf, type Needles, searchStream, searchText } from './needles.ts'
import type { Event, Room } from './room.ts'

const minute = 60_000
let deployment: Deployment
let room: Room
let outside: Server
const asked: string[] = []

/** As the schema marks them, so that a new one is planted by itself. */
const secretSettings = Object.entries(settingsSchema.shape).flatMap(([name, schema]) =>
  schema.safeParse(canary(name)).data instanceof Secret ? [name] : [],
)
const canaries = new Map(secretSettings.map((name) => [name, canary(name)]))

function canary(name: string): string {
  return `canary-${name.toLowerCase().replaceAll('_', '-')}-${randomBytes(8).toString('hex')}`
}

beforeAll(async () => {
  deployment = await startDeployment()
  outside = createServer(complain).listen(0, '127.0.0.1')
  await once(outside, 'listening')
  const url = `http://127.0.0.1:${(outside.address() as AddressInfo).port}`
  const { MONGODB_URL = '', R2_SECRET_ACCESS_KEY = '' } = deployment.environment
  // Two must be what they are to be let in: the store's secret is random, the database's URL takes a password more.
  const password = canaries.get('MONGODB_URL') ?? ''
  canaries.set('R2_SECRET_ACCESS_KEY', R2_SECRET_ACCESS_KEY)
  const webhook = canary('webhook')
  const registry = canary('registry')
  room = await deployment.room('canary', {
    ...Object.fromEntries(canaries),
    MONGODB_URL: `${MONGODB_URL}&tlsCertificateKeyFilePassword=${password}`,
    COMFY_DEPLOY_URL: url,
    BELLOWS_WEBHOOKS: `json:${url}/hooks/${webhook}`,
    BELLOWS_REGISTRY_LOGINS: JSON.stringify({ 'registry.example': `robot:${registry}` }),
    BELLOWS_CONCURRENCY: '2',
  })
  canaries.set('webhook', webhook)
  canaries.set('registry', registry)
}, 5 * minute)

afterAll(async () => {
  outside?.close()
  await deployment?.stop()
}, 2 * minute)

/** A ComfyDeploy that first repeats the key that it refuses, and a webhook that never works. */
function complain(request: IncomingMessage, response: ServerResponse) {
  asked.push(request.url ?? '')
  const refused = asked.filter((each) => each === request.url).length === 1
  request.resume().on('end', () => {
    if (request.url?.startsWith('/hooks/')) response.writeHead(500).end(`no ${request.url}`)
    else if (refused) response.writeHead(400).end(`who is ${request.headers.authorization}?`)
    else response.writeHead(200, { 'content-type': 'application/json' }).end('{"id": "file-1"}')
  })
}

const ended = (id: string) => (event: Event) =>
  event.event === 'released' && event.job === id && event.data?.ended === true

test('no secret is written to a log, the database, the store, a state, a page or a machine', {
  timeout: 6 * minute,
}, async ({ task }) => {
  expect(secretSettings.length).toBeGreaterThan(8)
  const fail = {
    kind: 'fail',
    operation: 'create',
    resource: 'aws:ec2/instance:Instance',
    moment: 'before',
    message: 'the engine has stumbled',
    times: 1,
  }
  await deployment.trouble('/faults', fail)
  const worker = room.startWorker('canary')
  const ready = worker.next(({ msg }) => msg === 'ready')
  const good = await room.insertJob({ steps: 1500, triggerWord: 'kite' })
  const bad = await room.insertJob({ triggerWord: 'fault-zero-file' }) // operators are told
  const ends = Promise.all([worker.next(ended(good)), worker.next(ended(bad))])
  const complained = worker.next(({ msg }) => /answered 500/.test(msg ?? ''))
  const { url } = (await ready) as { readonly url?: string }
  await worker.next(({ event, job, data }) => event === 'step' && job === good && Number(data?.step) > 20)

  const found: string[] = []
  const run = await room.clients.ports.runs.read(good)
  const attempt = run?.attempts.find(({ failure }) => !failure)
  const machine = attempt?.instanceId ?? ''
  const name = attempt?.name ?? ''
  const onIt = await onMachine(machine, new Map([...needles(name), ...hostKey(name)]))
  expect(onIt.filter(isHostKey)).toEqual([`host key of ${name} is in the machine's disk`])
  found.push(...onIt.filter((sentence) => !isHostKey(sentence)))
  found.push(...(await onCommandLines()))
  found.push(...(await onPages(url ?? '', [good, bad])))
  await ends
  expect(await room.document(good)).toMatchObject({ status: 'COMPLETED' })
  expect(await room.document(bad)).toMatchObject({ status: 'FAILED' })
  await complained
  await room.stopWorkers()

  const names = await attemptNames([good, bad])
  expect(names.length).toBeGreaterThan(1)
  const all: Needles = new Map(names.flatMap((name) => [...needles(name), ...hostKey(name)]))
  const log = room.log.join('\n')
  expect(log).toMatch(/ComfyDeploy answered 400: who is Bearer \[redacted\]/)
  expect(log).toMatch(/the engine has stumbled/)
  found.push(...searchText('the log', log, all))
  expect(log).not.toMatch(/PRIVATE KEY|X-Amz-Signature/)
  for (const { collectionName } of await room.db.collections()) {
    const documents = await room.db.collection(collectionName).find().toArray()
    const text = BSON.EJSON.stringify(documents)
    expect(text).not.toMatch(/PRIVATE KEY|X-Amz-Signature/)
    found.push(...searchText(`the collection ${collectionName}`, text, all))
  }
  found.push(...(await inFolder(deployment.cloud.directory, all)))
  measured(task, { faults: 3 })
  expect(found).toEqual([])
})

/** The canaries, and what logs in on a machine. */
function needles(machine: string): Needles {
  const login = keysOf(machine).loginPrivateKey.reveal().split('\n')[2] ?? ''
  return new Map([...canaries, [`login key of ${machine}`, login]])
}

/** A machine has its own host key, and EC2 its user data: there it must be found, or the search finds nothing. */
function hostKey(machine: string): Needles {
  return new Map([[`host key of ${machine}`, keysOf(machine).hostPrivateKey.reveal().split('\n')[2] ?? '']])
}

const isHostKey = (text: string) => text.startsWith('host key')

const keysOf = (machine: string) => machineKeys(new Secret(canaries.get('BELLOWS_SECRET') ?? ''), machine)

async function attemptNames(ids: readonly string[]): Promise<readonly string[]> {
  const runs = await Promise.all(ids.map((id) => room.clients.ports.runs.read(id)))
  return runs.flatMap((run) => run?.attempts.map(({ name }) => name) ?? [])
}

async function onMachine(id: string, wanted: Needles): Promise<readonly string[]> {
  const processes = 'cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null; true'
  const told = await Promise.all([
    docker(['inspect', id]),
    docker(['logs', id]),
    docker(['exec', id, 'sh', '-c', processes]),
  ])
  expect(told[2]).toMatch(/sshd/)
  const searched = await Promise.all(
    fileSystemOf(id).map(async (stream) => {
      const { found, bytes } = await searchStream(`the machine's disk`, stream, wanted)
      expect(bytes).toBeGreaterThan(10_000)
      return found
    }),
  )
  return [...searchText('what Docker tells of the machine', told.join('\n'), wanted), ...searched.flat()]
}

/** Every user of this computer can read them. */
async function onCommandLines(): Promise<readonly string[]> {
  const lines = await Promise.all(
    (await readdir('/proc'))
      .filter((name) => /^\d+$/.test(name))
      .map((id) => readFile(`/proc/${id}/cmdline`, 'utf8').catch(() => '')),
  )
  return searchText('a command line', lines.join('\n'), canaries)
}

async function onPages(url: string, ids: readonly string[]): Promise<readonly string[]> {
  const paths = [
    '/',
    '/api/status',
    '/metrics',
    '/healthz',
    ...ids.flatMap((id) => [`/jobs/${id}`, `/api/jobs/${id}`]),
  ]
  const pages = await Promise.all(
    paths.map(async (path) => {
      const headers = { authorization: `Bearer ${canaries.get('BELLOWS_STATUS_TOKEN')}` }
      const answer = await fetch(`${url}${path}`, { headers })
      expect(answer.status, path).toBe(200)
      return searchText(`the page ${path}`, await answer.text(), canaries)
    }),
  )
  return pages.flat()
}

/** Database, objects, Pulumi's state, the emulator's state and log, temporary files. */
async function inFolder(folder: string, wanted: Needles): Promise<readonly string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const files = entries
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name))
  expect(files.some((file) => file.includes('/state/.pulumi/'))).toBe(true)
  expect(files.some((file) => file.includes('/objects/models/'))).toBe(true)
  expect(files.some((file) => file.endsWith('emulator.log'))).toBe(true)
  const found: string[] = []
  for (const file of files) {
    const { found: here } = await searchStream(file.slice(folder.length), createReadStream(file), wanted)
    const isEc2s = file.endsWith('/provider/clouds.json')
    if (isEc2s) expect(here.filter(isHostKey)).toHaveLength([...wanted.keys()].filter(isHostKey).length)
    found.push(...here.filter((sentence) => !isEc2s || !isHostKey(sentence)))
  }
  return found
}

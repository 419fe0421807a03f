import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { DescribeRegionsCommand } from '@aws-sdk/client-ec2'
import { execa } from 'execa'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { ec2Of, storeOf } from '../../../src/clients.ts'
import { handDown, throughProxies } from '../../../src/cloud/pulumi/handed-down.ts'
import { readConfig } from '../../../src/config.ts'
import { fewestSettings } from '../../support/settings.ts'

/** A proxy that records the hosts that it is asked for, and connects to none. */
const asked: string[] = []
const proxy = createServer(({ method, url }, answer) => {
  asked.push(`${method} ${url}`)
  answer.writeHead(403).end()
}).on('connect', ({ url }, socket) => {
  asked.push(`CONNECT ${url}`)
  socket.end('HTTP/1.1 403 Forbidden\r\n\r\n')
})
let address: string
beforeAll(async () => {
  proxy.listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  address = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`
})
beforeEach(() => asked.splice(0))
afterAll(() => void proxy.close())

const keys = { AWS_ACCESS_KEY_ID: 'AKIAEXAMPLE', AWS_SECRET_ACCESS_KEY: 'its secret' }

test('the worker asks EC2 and R2 by the proxy that is set', async () => {
  const config = readConfig({ ...fewestSettings, ...keys, HTTPS_PROXY: address })
  const ec2 = ec2Of(config)
  ec2.config.maxAttempts = async () => 1
  await expect(ec2.send(new DescribeRegionsCommand({}))).rejects.toThrow()
  await expect(storeOf(config).info({ bucket: 'models', key: 'one' })).rejects.toThrow()
  expect([...new Set(asked)]).toEqual([
    'CONNECT ec2.us-east-1.amazonaws.com:443',
    'CONNECT a1b2c3.r2.cloudflarestorage.com:443',
  ])
})

test('the commands’ own requests go by it too, those to this computer excepted', {
  timeout: 120_000,
}, async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'bellows-proxy-'))
  const sync = (from: string) =>
    execa(process.execPath, ['src/cli.ts', 'sync', '--from', from, '--to', folder], {
      env: {
        PATH: process.env.PATH,
        BELLOWS_COMFYUI_TOKEN: '6b1f0c2d9e8a7354',
        http_proxy: address,
        no_proxy: 'straight.invalid',
      },
      extendEnv: false,
      reject: false,
    })
  try {
    await Promise.all(
      ['http://worker.example:8080', 'http://127.0.0.1:1', 'http://straight.invalid'].map(sync),
    )
    expect([...new Set(asked)]).toEqual(['GET http://worker.example:8080/comfyui/files'])
  } finally {
    await rm(folder, { recursive: true })
  }
})

test('this computer and the addresses of a machine’s own credentials are never asked for by proxy', () => {
  const always = 'localhost,127.0.0.1,::1,169.254.169.254,169.254.170.2,169.254.170.23'
  expect(handDown({ HTTPS_PROXY: 'http://proxy.example:3128' })).toEqual({
    HTTPS_PROXY: 'http://proxy.example:3128',
    NO_PROXY: always,
    no_proxy: always,
  })
  const own = handDown({ http_proxy: 'http://proxy.example', NO_PROXY: '.internal,10.0.0.0/8' })
  expect(own).toMatchObject({ NO_PROXY: `.internal,10.0.0.0/8,${always}` })
  expect(handDown({ NO_PROXY: '.internal' })).toEqual({ NO_PROXY: '.internal' })
  expect(throughProxies(handDown({ NO_PROXY: '.internal' }))).toEqual({})
})

test('a proxy may be named without a scheme, as curl takes it, and one that can’t be used is told', () => {
  expect(handDown({ HTTPS_PROXY: 'proxy.example:3128' })).toMatchObject({
    HTTPS_PROXY: 'http://proxy.example:3128',
  })
  expect(() => readConfig({ ...fewestSettings, https_proxy: 'socks5://proxy.example:1080' })).toThrow(
    'https_proxy: is not the address of an HTTP proxy, such as http://proxy:3128',
  )
})

/** Pulumi's own command; the internet is out of its reach, by a proxy that isn't there. */
import { once } from 'node:events'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import manifest from '@pulumi/aws/package.json' with { type: 'json' }
import { afterAll, beforeAll, expect, test } from 'vitest'
import { installProvider } from '../../src/operations/provider-plugin.ts'
import { devEnvironment } from '../support/dev-environment.ts'

let pulumiHome: string
beforeAll(() => {
  pulumiHome = mkdtempSync(path.join(tmpdir(), 'bellows-plugins-'))
})
afterAll(() => rmSync(pulumiHome, { recursive: true }))

const install = () =>
  installProvider(devEnvironment.pulumi, { pulumiHome, network: { HTTPS_PROXY: 'http://127.0.0.1:1' } })

test('a plugin that is missing is downloaded by the proxy, and what is in the way is told', async () => {
  expect(await install()).toMatch(
    /can't be installed into .*: Error downloading plugin: .*pulumi-resource-aws-v[\d.]+-linux-\w+\.tar\.gz": proxyconnect tcp: .*connection refused$/,
  )
})

test('for an installed one of its version no server is asked, not even Pulumi’s registry', async () => {
  const folder = path.join(pulumiHome, 'plugins', `resource-aws-v${manifest.version}`)
  mkdirSync(folder, { recursive: true })
  const program = path.join(folder, 'pulumi-resource-aws')
  writeFileSync(program, '#!/bin/sh\n')
  chmodSync(program, 0o755)
  let asked = 0
  const proxy = createServer((socket) => {
    asked++
    socket.destroy()
  }).listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  const { port } = proxy.address() as AddressInfo
  const network = { HTTPS_PROXY: `http://127.0.0.1:${port}` }
  expect(await installProvider(devEnvironment.pulumi, { pulumiHome, network })).toBeUndefined()
  proxy.close()
  expect(asked).toBe(0)
})

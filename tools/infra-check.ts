/**
 * `npm run infra:check`: what `infra/` declares, before it costs money. Its properties under mocks; its life on the
 * emulator; and, where available, the real AWS provider against moto. It ends with a table.
 */
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { S3Client } from '@aws-sdk/client-s3'
import { createBaseStack } from '../local/emulator/base.ts'
import { removeNetwork } from '../local/emulator/machines/network.ts'
import { startObjectStore } from '../local/emulator/object-store.ts'
import { startLocalProvider } from '../local/emulator/provider/provider.ts'
import { setUp } from '../local/setup/dev-environment.ts'
import { commandLine } from '../src/command-line.ts'
import { type Declared, declaredBase } from './infra/declared.ts'
import { properties } from './infra/properties.ts'
import { checkRealProvider } from './infra/real-provider.ts'
import type { Row } from './infra/row.ts'
import { declaredMachine } from './infra/sample-machine.ts'

commandLine(
  'npm run infra:check --',
  'Check infra/ under mocks, on the emulator, and with the real AWS provider where it can be had.',
).parse()
const base = await declaredBase()
const rows = [
  ...heldToProperties([...base, ...(await declaredMachine())]),
  ...(await checkEmulator()),
  ...(await checkRealProvider(base)),
]
const width = Math.max(...rows.map(({ check }) => check.length))
for (const { check, result, detail } of rows)
  console.log(`${result.padEnd(7)}  ${check.padEnd(width)}  ${detail}`)
process.exitCode = rows.some(({ result }) => result === 'failed') ? 1 : 0

function heldToProperties(resources: readonly Declared[]): readonly Row[] {
  return properties.map(({ promise, broken }) => {
    const found = broken(resources)
    const detail = found.join('; ') || `${resources.length} resources`
    return { check: promise, result: found.length > 0 ? 'failed' : 'passed', detail }
  })
}

async function checkEmulator(): Promise<readonly Row[]> {
  const devEnvironment = await setUp(['pulumi', 'languageHost', 'versitygw', 'images'])
  const directory = await mkdtemp(join(tmpdir(), 'bellows-infra-'))
  const deployment = `bellows-infra-${process.pid}`
  const store = await startObjectStore(devEnvironment.versitygw, join(directory, 'objects'))
  const credentials = { accessKeyId: store.accessKeyId, secretAccessKey: store.secretAccessKey.reveal() }
  const provider = await startLocalProvider({
    deployment,
    stateDirectory: join(directory, 'provider'),
    s3: new S3Client({ endpoint: store.endpoint, region: store.region, forcePathStyle: true, credentials }),
    machineImage: devEnvironment.images.machine,
  })
  const rows: Row[] = []
  const step = async (check: string, work: () => Promise<unknown>) => {
    const found = await work().then(
      () => undefined,
      (error: Error) => error.message.trim().split('\n').slice(-3).join(' '),
    )
    rows.push({
      check: `on the emulator: ${check}`,
      result: found ? 'failed' : 'passed',
      detail: found ?? '',
    })
  }
  try {
    await mkdir(join(directory, 'state'))
    const base = await createBaseStack({ devEnvironment, directory, deployment, providerPort: provider.port })
    rows.push({ check: 'on the emulator: up', result: 'passed', detail: '' })
    await step('a preview shows no change', () => base.pulumi('preview', '--expect-no-changes'))
    await step('up again changes nothing', () => base.pulumi('up', '--yes', '--expect-no-changes'))
    await step('destroy is refused', async () => {
      const refused = await base.pulumi('destroy', '--yes').then(
        () => false,
        ({ message }: Error) => message.includes('because it is protected'),
      )
      if (!refused) throw new Error('it was not')
    })
    await step('what is not protected can be destroyed alone', () =>
      base.pulumi('destroy', '--yes', '--exclude-protected'),
    )
    await step('up makes it anew', () => base.pulumi('up', '--yes'))
    await step('destroy after it was unprotected', () => base.destroy())
  } catch (error) {
    rows.push({ check: 'on the emulator: up', result: 'failed', detail: (error as Error).message })
  } finally {
    await provider.stop()
    await store.stop()
    await removeNetwork(deployment)
    await rm(directory, { recursive: true, force: true })
  }
  return rows
}

import { execFileSync } from 'node:child_process'
import {
  DescribeInstancesCommand,
  DescribeVolumesCommand,
  GetConsoleOutputCommand,
  TerminateInstancesCommand,
} from '@aws-sdk/client-ec2'
import { DeleteObjectCommand, HeadBucketCommand, PutObjectCommand } from '@aws-sdk/client-s3'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { fillImageStore } from '../../local/emulator/machines/image-store.ts'
import { type Emulator, keysOf, machineImage, overSsh, startEmulator } from './emulator.ts'

const deployment = `test-machines-${process.pid}`
let emulator: Emulator

beforeAll(async () => {
  emulator = await startEmulator(deployment)
  await fillImageStore(['bellows/base:trixie'], { machineImage })
})

afterAll(() => emulator?.remove(), 120_000)

const listed = (what: 'container' | 'volume'): string =>
  execFileSync(
    'docker',
    [
      what,
      'ls',
      ...(what === 'container' ? ['--all'] : []),
      '--quiet',
      '--filter',
      `label=bellows.local=${deployment}`,
    ],
    { encoding: 'utf8' },
  ).trim()

/** Waits until sshd answers with the pinned key, as a worker does. */
const said = (host: string, name: string, command: string) =>
  vi.waitFor(() => overSsh(host, keysOf(name), command), { timeout: 20_000, interval: 100 })

const untilTerminated = (id: string, timeout = 30_000) =>
  vi.waitFor(
    async () => {
      const instance = await emulator.describe(id)
      expect(instance?.State?.Name).toBe('terminated')
      return instance
    },
    { timeout, interval: 100 },
  )

describe('the base', () => {
  test('has made its buckets in the store', async () => {
    const { datasetsBucket, modelsBucket, basesBucket, workBucket, stateBucket } = emulator.base.outputs
    for (const Bucket of [datasetsBucket, modelsBucket, basesBucket, workBucket, stateBucket]) {
      await emulator.s3.send(new HeadBucketCommand({ Bucket }))
    }
  })

  test('is not destroyed while its buckets are protected, and nothing of it is', {
    timeout: 120_000,
  }, async () => {
    const { base } = emulator
    await expect(base.pulumi('destroy', '--yes')).rejects.toThrow(
      /cannot be deleted[\s\S]*because it is protected[\s\S]*pulumi state unprotect/,
    )
    const { all } = await base.pulumi('preview', '--expect-no-changes')
    expect(all).toMatch(/\d+ unchanged/)
    expect(all).not.toMatch(/to (create|update|delete|replace)/)
  })
})

describe('a machine', () => {
  const name = 'bellows-65f0c0ffee-1'

  test('is made, reached by its own key only, runs containers, and leaves nothing', {
    timeout: 120_000,
  }, async () => {
    expect(await fillImageStore(['bellows/base:trixie'], { machineImage })).toEqual([])

    const outputs = await emulator.up(emulator.inputs(name))
    const { instanceId, host } = outputs as { instanceId: string; host: string }
    expect(outputs.zone).toBe('us-east-1a')
    expect(await emulator.describe(instanceId)).toMatchObject({
      State: { Name: 'running' },
      InstanceLifecycle: 'spot',
      PublicIpAddress: host,
    })

    const ready = 'until [ -e /var/lib/bellows/ready ] || [ -e /var/lib/bellows/failed ]; do sleep 0.1; done'
    expect(await said(host, name, `${ready}; cat /var/lib/bellows/failed`)).toMatchObject({ stdout: '' })
    await expect(
      overSsh(host, { ...keysOf(name), loginPrivateKey: keysOf('other').loginPrivateKey }, 'id'),
    ).rejects.toThrow(/authentication methods failed/)
    await expect(
      overSsh(host, { ...keysOf(name), hostPublicKey: keysOf('other').hostPublicKey }, 'id'),
    ).rejects.toThrow(/Host denied/)

    const trainer =
      'sudo docker run --rm --network none --read-only --cap-drop ALL --memory 64m --pids-limit 32'
    expect(
      await said(host, name, `${trainer} bellows/base:trixie cat /etc/hostname /proc/1/comm`),
    ).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('cat'),
    })
    const reaches = (address: string) =>
      `sudo docker run --rm bellows/base:trixie timeout 2 bash -c 'exec 3<> /dev/tcp/${address}'`
    expect(await said(host, name, reaches('10.88.0.1/22'))).toMatchObject({ code: 0 })
    expect(await said(host, name, reaches('169.254.169.254/80'))).not.toMatchObject({ code: 0 })
    const instanceIdOverMetadata =
      'token=$(curl -s -X PUT -H "X-aws-ec2-metadata-token-ttl-seconds: 60" http://169.254.169.254/latest/api/token);' +
      'curl -s -H "X-aws-ec2-metadata-token: $token" http://169.254.169.254/latest/meta-data/instance-id;' +
      'curl -s -o /dev/null -w " %{http_code}" http://169.254.169.254/latest/meta-data/instance-id'
    expect((await said(host, name, instanceIdOverMetadata)).stdout).toBe(`${instanceId} 401`)

    await emulator.stacks.destroy(name)
    expect((await emulator.describe(instanceId))?.State?.Name).toBe('terminated')
    expect((await emulator.ec2.send(new DescribeVolumesCommand({}))).Volumes).toEqual([])
    expect([listed('container'), listed('volume')]).toEqual(['', ''])
  })

  test('is switched off at its deadline, and at the hard limit whatever the worker asks', {
    timeout: 120_000,
  }, async () => {
    const early = 'bellows-early-1'
    const greedy = 'bellows-greedy-1'
    const [one, other] = (await Promise.all([
      emulator.up(emulator.inputs(early)),
      emulator.up(emulator.inputs(greedy, {}, { seconds: 20, hardSeconds: 3_600 })),
    ])) as { instanceId: string; host: string }[]
    await said(other?.host ?? '', greedy, 'echo 99999999999 | sudo tee /var/lib/bellows/deadline')
    await said(one?.host ?? '', early, 'echo 0 | sudo tee /var/lib/bellows/deadline')

    const reason = { Code: 'Client.InstanceInitiatedShutdown' }
    expect(await untilTerminated(one?.instanceId ?? '')).toMatchObject({ StateReason: reason })
    expect(await untilTerminated(other?.instanceId ?? '', 60_000)).toMatchObject({ StateReason: reason })
    expect([listed('container'), listed('volume')]).toEqual(['', ''])
    await Promise.all([emulator.stacks.destroy(early), emulator.stacks.destroy(greedy)])
  })

  test('whose first boot breaks says so on its console, even once it has ended; a good boot says it is done', {
    timeout: 60_000,
  }, async () => {
    const [broken, well] = ['bellows-broken-1', 'bellows-well-1'] as const
    const inputs = emulator.inputs(broken)
    const userData = inputs.userData.replace(
      'home=$(getent passwd ubuntu',
      'home=$(getent passwd nobody-here',
    )
    const [one, other] = (await Promise.all([
      emulator.up({ ...inputs, userData }),
      emulator.up(emulator.inputs(well)),
    ])) as { instanceId: string }[]
    const consoleOf = async (InstanceId: string | undefined) => {
      const { Output = '' } = await emulator.ec2.send(
        new GetConsoleOutputCommand({ InstanceId, Latest: true }),
      )
      return Buffer.from(Output, 'base64').toString()
    }
    const poll = { timeout: 20_000, interval: 200 }
    const failed = /^bellows: the first boot begins\n[\s\S]*^first boot: line \d+: home=.*nobody-here/m
    await expect.poll(() => consoleOf(one?.instanceId), poll).toMatch(failed)
    await expect.poll(() => consoleOf(other?.instanceId), poll).toMatch(/^bellows: the first boot is done$/m)
    expect(await consoleOf(other?.instanceId)).not.toContain('PRIVATE KEY')
    await Promise.all([emulator.stacks.destroy(broken), emulator.stacks.destroy(well)])
    expect(await consoleOf(one?.instanceId)).toMatch(failed)
  })

  test('lets in every worker, and nothing else', { timeout: 60_000 }, async () => {
    const here = `${emulator.provider.gateway}/32`
    const up = async (machine: string, workerNetworks: readonly string[]) =>
      (await emulator.up(emulator.inputs(machine, { workerNetworks }))) as { host: string }
    const [strange, shared] = ['bellows-strange-1', 'bellows-shared-1'] as const
    const [one, other] = await Promise.all([
      up(strange, ['203.0.113.9/32', '198.51.100.0/28']),
      up(shared, ['203.0.113.9/32', '198.51.100.0/28', here]),
    ])
    expect(await said(other.host, shared, 'echo in')).toMatchObject({ stdout: 'in\n' })
    await expect(overSsh(one.host, keysOf(strange), 'id')).rejects.toThrow(/Timed out/)
    await Promise.all([emulator.stacks.destroy(strange), emulator.stacks.destroy(shared)])
  })

  test('is told of a spot reclaim, and is gone then, even if the emulator is restarted meanwhile', {
    timeout: 60_000,
  }, async () => {
    const spot = 'bellows-spot-1'
    const { instanceId, host } = (await emulator.up(emulator.inputs(spot))) as {
      instanceId: string
      host: string
    }
    await said(host, spot, 'true')
    const noticed = await fetch(`${emulator.provider.controlUrl}/instances/${instanceId}/spot-notice`, {
      method: 'POST',
      body: JSON.stringify({ seconds: 4 }),
    })
    expect(noticed.status).toBe(204)
    await emulator.restart()
    const ask =
      'token=$(curl -s -X PUT -H "X-aws-ec2-metadata-token-ttl-seconds: 60" http://169.254.169.254/latest/api/token);' +
      'curl -s -H "X-aws-ec2-metadata-token: $token" http://169.254.169.254/latest/meta-data/spot/instance-action'
    expect(JSON.parse((await said(host, spot, ask)).stdout)).toMatchObject({ action: 'terminate' })
    expect(await untilTerminated(instanceId)).toMatchObject({
      StateReason: { Code: 'Server.SpotInstanceTermination' },
    })
    await emulator.stacks.destroy(spot)
  })
})

describe('what AWS refuses', () => {
  test('is refused in its words, and nothing is left', { timeout: 60_000 }, async () => {
    const name = 'bellows-wrong-1'
    const wrong = emulator.inputs(name, { imageId: 'ami-0123456789abcdef0' })
    await expect(emulator.up(wrong)).rejects.toThrow(
      /creating EC2 Instance: .* api error InvalidAMIID\.NotFound: The image id/,
    )
    await emulator.stacks.destroy(name)
    expect(listed('container')).toBe('')
  })

  test('a worker of another deployment by the policy that the base has made, which names the right', {
    timeout: 60_000,
  }, async () => {
    const name = 'bellows-foreign-1'
    await expect(emulator.up(emulator.inputs(name, { deployment: 'another' }))).rejects.toThrow(
      /api error UnauthorizedOperation: .*is not authorized to perform: ec2:\w+ on resource: .*because no identity-based policy/,
    )
    await emulator.stacks.destroy(name)
    expect(listed('container')).toBe('')
  })

  test('no capacity, at once and late', { timeout: 60_000 }, async () => {
    const name = 'bellows-nowhere-1'
    const { faults } = emulator.provider
    faults.stage({ kind: 'refuse', code: 'InsufficientInstanceCapacity', zone: 'us-east-1a', times: 3 })
    await expect(emulator.up(emulator.inputs(name))).rejects.toThrow(
      /exceeded maximum number of attempts, 3, .* api error InsufficientInstanceCapacity: We currently do not have sufficient g6\.xlarge capacity/,
    )
    faults.stage({ kind: 'refuse-late', code: 'InsufficientInstanceCapacity', times: 1 })
    await expect(emulator.up(emulator.inputs(name))).rejects.toThrow(/Server\.InsufficientInstanceCapacity/)
    expect(faults.list()).toEqual([])
    await emulator.stacks.destroy(name)
  })

  test('a machine whose order was never answered is found by its tag and ended', {
    timeout: 60_000,
  }, async () => {
    const name = 'bellows-orphan-1'
    const instance = 'aws:ec2/instance:Instance'
    emulator.provider.faults.stage({
      kind: 'fail',
      resource: instance,
      operation: 'create',
      moment: 'after',
      times: 1,
    })
    await expect(emulator.up(emulator.inputs(name))).rejects.toThrow(/connection was reset/)
    const tagged = { Filters: [{ Name: 'tag:Name', Values: [name] }] }
    const { Reservations } = await emulator.ec2.send(new DescribeInstancesCommand(tagged))
    const id = Reservations?.[0]?.Instances?.[0]?.InstanceId ?? ''
    await emulator.ec2.send(new TerminateInstancesCommand({ InstanceIds: [id] }))
    await untilTerminated(id)
    await emulator.stacks.destroy(name)
    expect([listed('container'), listed('volume')]).toEqual(['', ''])
  })

  test('a machine that has ended and lost its tags, by the policy, is not asked to end again', {
    timeout: 60_000,
  }, async () => {
    const name = 'bellows-bare-1'
    const fault = emulator.provider.faults.stage({ kind: 'drop-tags' })
    const { instanceId } = (await emulator.up(emulator.inputs(name))) as { instanceId: string }
    await emulator.ec2.send(new TerminateInstancesCommand({ InstanceIds: [instanceId] }))
    expect((await untilTerminated(instanceId))?.Tags).toEqual([])
    await expect(
      emulator.ec2.send(new TerminateInstancesCommand({ InstanceIds: [instanceId] })),
    ).rejects.toThrow(/not authorized to perform: ec2:TerminateInstances/)
    await emulator.stacks.destroy(name)
    expect(await emulator.stacks.list()).toEqual([])
    expect([listed('container'), listed('volume')]).toEqual(['', ''])
    emulator.provider.faults.clear(fault)
  })

  test('a bucket is deleted only when nothing is in it', { timeout: 60_000 }, async () => {
    const { workBucket: Bucket } = emulator.base.outputs
    const object = { Bucket, Key: 'something' }
    await emulator.s3.send(new PutObjectCommand({ ...object, Body: 'x' }))
    await expect(emulator.base.destroy()).rejects.toThrow(/bucket you tried to delete is not empty/)
    await emulator.s3.send(new DeleteObjectCommand(object))
    await emulator.base.destroy()
    await expect(emulator.s3.send(new HeadBucketCommand({ Bucket }))).rejects.toThrow()
  })
})

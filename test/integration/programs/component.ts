/** An inline program that needs no provider: what a test of the engine's handling needs, and no more. */
import { setTimeout as sleep } from 'node:timers/promises'
import { ComponentResource, secret } from '@pulumi/pulumi'

export type Inputs = {
  readonly message: string
  /** Never finishes: a program that waits for something that does not come. */
  readonly hang?: boolean
  /** Then not even SIGINT ends it. */
  readonly deaf?: boolean
  readonly fail?: string
}

export async function gpuMachine(inputs: Inputs): Promise<object> {
  new ComponentResource('bellows:test:Thing', 'thing')
  if (inputs.hang) {
    process.stdout.write(`${JSON.stringify({ line: 'resource', doing: 'hang', type: '', name: '' })}\n`)
    if (inputs.deaf) for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_000)
    await sleep(2 ** 30)
  }
  if (inputs.fail) throw new Error(inputs.fail)
  return { message: inputs.message, hidden: secret('a canary'), environment: { ...process.env } }
}

/** A proxy before moto's server that notes each call, and gives machines the marks of spot, which moto leaves out. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'

export type RecordedCall = {
  /** Such as `ec2:RunInstances`. */
  readonly action: string
  /** As AWS's query protocol has them. */
  readonly parameters: URLSearchParams
}

export type Recorder = AsyncDisposable & { readonly url: string; readonly calls: RecordedCall[] }

const request = '<spotInstanceRequestId>sir-12345678</spotInstanceRequestId>'
const requestIn = (state: 'active' | 'cancelled') =>
  `<item>${request}<state>${state}</state><status><code>fulfilled</code></status><type>one-time</type><instanceInterruptionBehavior>terminate</instanceInterruptionBehavior></item>`

/** `calls`: in order. */
export async function startRecorder(moto: string): Promise<Recorder> {
  const calls: RecordedCall[] = []
  let spot: 'active' | 'cancelled' = 'active'
  const server = createServer(async (incoming, outgoing) => {
    const body = await text(incoming)
    const parameters = new URLSearchParams(body)
    const operation = parameters.get('Action') ?? ''
    const service = /\/(\w+)\/aws4_request/.exec(incoming.headers.authorization ?? '')?.[1] ?? ''
    calls.push({ action: `${service}:${operation}`, parameters })
    if (operation === 'CancelSpotInstanceRequests') spot = 'cancelled'
    const answer = await answerTo(operation, requestIn(spot), async () => {
      const {
        host: _,
        connection: __,
        'accept-encoding': ___,
        'content-length': ____,
        ...headers
      } = incoming.headers
      const init = { method: incoming.method ?? 'POST', headers: headers as Record<string, string>, body }
      const answer = await fetch(`${moto}${incoming.url}`, init)
      return { status: answer.status, body: await answer.text() }
    })
    outgoing.writeHead(answer.status, { 'content-type': 'text/xml' }).end(answer.body)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    calls,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

async function answerTo(
  operation: string,
  item: string,
  ask: () => Promise<{ status: number; body: string }>,
) {
  if (/^(Cancel|Describe)SpotInstanceRequests$/.test(operation))
    return {
      status: 200,
      body: `<${operation}Response xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>1</requestId><spotInstanceRequestSet>${item}</spotInstanceRequestSet></${operation}Response>`,
    }
  const { status, body } = await ask()
  const marks = `</instanceType><instanceLifecycle>spot</instanceLifecycle>${request}`
  const isOfMachines = /^(Describe|Run)Instances$/.test(operation)
  return { status, body: isOfMachines ? body.replaceAll('</instanceType>', marks) : body }
}

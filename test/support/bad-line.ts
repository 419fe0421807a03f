/** A line to an HTTP server that spoils requests as it is told. */
import { once } from 'node:events'
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'

/** `cut` breaks off in the middle of the answer; `lose answer` lets the server act and says nothing. */
export type Spoiling = 'cut' | 'lose answer' | number

export type BadLine = {
  readonly endpoint: string
  /** Spoils the next requests, one of the list each. */
  spoil(...next: readonly Spoiling[]): void
  asked(): number
  close(): Promise<void>
}

export async function startBadLine(target: string): Promise<BadLine> {
  const { hostname, port } = new URL(target)
  let spoilings: Spoiling[] = []
  let asked = 0
  const server = createServer((incoming, answer) => {
    asked++
    const spoiling = spoilings.shift()
    if (typeof spoiling === 'number') {
      incoming.resume().on('end', () => answer.writeHead(spoiling).end())
      return
    }
    const { method, url, headers } = incoming
    const onwards = request({ hostname, port, method, path: url, headers }, async (real) => {
      const chunks: Buffer[] = []
      for await (const chunk of real) chunks.push(chunk)
      const body = Buffer.concat(chunks)
      if (spoiling === 'lose answer') return answer.destroy()
      answer.writeHead(real.statusCode ?? 500, real.headers)
      if (spoiling === 'cut') answer.write(body.subarray(0, body.length / 2), () => answer.destroy())
      else answer.end(body)
      return undefined
    })
    onwards.on('error', () => answer.destroy())
    incoming.pipe(onwards)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spoil: (...next) => {
      spoilings = [...next]
      asked = 0
    },
    asked: () => asked,
    close: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** A Hono application on loopback. */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { createAdaptorServer } from '@hono/node-server'
import type { Hono } from 'hono'

export async function listen(api: Hono, port = 0): Promise<{ url: string; stop(): Promise<void> }> {
  const server = createAdaptorServer({ fetch: api.fetch, hostname: '127.0.0.1' })
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async stop() {
      if ('closeAllConnections' in server) server.closeAllConnections()
      await new Promise<void>((resolve) => server.close(() => resolve()))
    },
  }
}

import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { expect, test } from 'vitest'
import { fetch } from '../src/fetch.ts'

test('a connection that is closed while the answer waits to be read ends no process, and loses nothing', async () => {
  const body = Buffer.alloc(64 * 1024, 'a') // less than a socket takes in one go
  const closed = Promise.withResolvers<void>()
  const server = createServer((socket) => {
    socket.on('close', () => closed.resolve())
    socket.once('data', () => {
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n`)
      socket.write(body)
      socket.end()
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  try {
    const answer = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
    await closed.promise
    expect(Buffer.from(await answer.arrayBuffer()).equals(body)).toBe(true)
  } finally {
    server.close()
  }
})

/**
 * A proxy in front of a real MongoDB server, to be told of troubles that a healthy server can't be talked into: it
 * steps down, its connections are cut, its answers are lost. Its clients see the server's replica
 * set with one member, whose address is the proxy's.
 *
 *     primary → stepping down (what is under way is interrupted, though it was applied) → secondary → primary
 *     reachable → cut (connections are reset, and new ones at once) → reachable
 *
 * No `hello` shows the version of the topology: a driver asks for news then, and is not told at once, so that its
 * writes do reach a server that has stepped down.
 */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { asSecondary, interruptionOf, isWrite, nameOf, refusalOf } from './stepped-down.ts'
import { answeredBy, answerTo, changed, commandOf, type Document, idOf, messages } from './wire-messages.ts'

export type Fits = (command: Document) => boolean

export type DatabaseProxy = {
  /** The database's, through the proxy. */
  readonly url: string
  /** Settles when the next command that fits has been sent on, before its answer can come. */
  next(fits: Fits): Promise<void>
  /** Refuses all that needs a primary; settles when it is the primary again. */
  stepDown(seconds: number): Promise<void>
  cut(): void
  mend(): void
  /** Commands that fit are applied, and the connection reset before the answer; settles when so many were. */
  loseAnswer(fits: Fits, times?: number): Promise<void>
  stop(): Promise<void>
}

/** A command that the server has not answered yet. */
type UnderWay = {
  readonly message: Buffer
  readonly command: Document
  readonly onLost: (() => void) | undefined
  interrupted: boolean
}

type Connection = { readonly client: Socket; readonly underWay: Map<number, UnderWay> }

/** Of a server that is named alone in its URL, without TLS. */
export async function startDatabaseProxy(databaseUrl: string): Promise<DatabaseProxy> {
  const target = new URL(databaseUrl)
  const connections = new Set<Connection>()
  const watchers = new Set<{ readonly fits: Fits; readonly onSent: () => void }>()
  const losses = new Set<{ readonly fits: Fits; left: number; readonly onLast: () => void }>()
  let isPrimary = true
  let isCut = false

  const server = createServer((client) => {
    if (isCut) return void client.resetAndDestroy()
    const upstream = connect(Number(target.port || 27017), target.hostname)
    const connection: Connection = { client, underWay: new Map() }
    connections.add(connection)
    client.on(
      'data',
      messages((message) => send(message, connection, upstream)),
    )
    upstream.on(
      'data',
      messages((answer) => giveBack(answer, connection)),
    )
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      one.on('error', () => {}) // it closes
      one.once('close', () => other.destroy())
    }
    client.once('close', () => connections.delete(connection))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = `127.0.0.1:${(server.address() as AddressInfo).port}`

  function send(message: Buffer, { client, underWay }: Connection, upstream: Socket): void {
    const command = commandOf(message)
    if (!command) return void upstream.write(message)
    const refusal = isPrimary ? undefined : refusalOf(command)
    if (refusal) return void client.write(answerTo(message, refusal))
    underWay.set(idOf(message), { message, command, onLost: lossOf(command), interrupted: false })
    upstream.write(message)
    for (const watcher of watchers) {
      if (!watcher.fits(command)) continue
      watchers.delete(watcher)
      watcher.onSent()
    }
  }

  function giveBack(answer: Buffer, { client, underWay }: Connection): void {
    const asked = underWay.get(answeredBy(answer))
    underWay.delete(answeredBy(answer))
    if (asked?.onLost) {
      client.resetAndDestroy()
      asked.onLost()
    } else if (asked?.interrupted) client.write(answerTo(asked.message, interruptionOf(asked.command)))
    else if (asked && isHello(asked.command)) client.write(changed(answer, seenThrough))
    else client.write(answer)
  }

  /** Undefined for a command whose answer is not to be lost. */
  function lossOf(command: Document): (() => void) | undefined {
    const loss = [...losses].find(({ fits }) => fits(command))
    if (!loss) return undefined
    loss.left--
    if (loss.left > 0) return () => {}
    losses.delete(loss)
    return loss.onLast
  }

  function seenThrough({ topologyVersion: _, ...hello }: Document): Document {
    const ours = hello.setName ? { ...hello, hosts: [address], me: address, primary: address } : hello
    return isPrimary ? ours : asSecondary(ours)
  }

  function cut(): void {
    isCut = true
    for (const { client } of connections) client.resetAndDestroy()
  }

  return {
    url: throughProxy(target, address),
    next: (fits) => new Promise((resolve) => watchers.add({ fits, onSent: resolve })),
    async stepDown(seconds) {
      isPrimary = false
      for (const { underWay } of connections) {
        for (const each of underWay.values()) each.interrupted ||= isWrite(each.command)
      }
      await pause(seconds * 1000)
      isPrimary = true
    },
    cut,
    mend() {
      isCut = false
    },
    loseAnswer: (fits, times = 1) =>
      new Promise((resolve) => losses.add({ fits, left: times, onLast: resolve })),
    async stop() {
      cut()
      server.close()
      await once(server, 'close')
    },
  }
}

const isHello = (command: Document): boolean => ['hello', 'isMaster', 'ismaster'].includes(nameOf(command))

/** Without `directConnection`, under which a driver would not check that the server is a primary. */
function throughProxy(target: URL, address: string): string {
  const url = new URL(target)
  url.host = address
  url.searchParams.delete('directConnection')
  return url.href
}

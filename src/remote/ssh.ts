/**
 * One SSH connection to a machine; commands are channels of it, side by side.
 *
 * Login is by key alone: no password, no agent, no trust on first use. The host key must be the pinned
 * one, else Failure('machine-broken'). Keepalives notice a dead machine within 30 s; every command that
 * was open then rejects with ConnectionLost, and so does every later one.
 *
 *   opening → open → closed      A connection never opens again: `session.ts` makes a new one.
 */
import { timingSafeEqual } from 'node:crypto'
import PQueue from 'p-queue'
import ssh2, { type ClientChannel } from 'ssh2'
import type { MachineKeys } from '../cloud/machine-keys.ts'
import { Failure } from '../failure.ts'
import { printableLines } from '../text.ts'
import { type Argv, quote } from './argv.ts'
import { lineReader } from './lines.ts'

export type SshTarget = {
  readonly host: string
  readonly port: number
  readonly user: string
  readonly keys: MachineKeys
}

/** The connection broke, or could not be made; the machine itself may be well. */
export class ConnectionLost extends Error {
  constructor(detail: string, cause?: unknown) {
    super(detail, { cause })
    this.name = 'ConnectionLost'
  }
}

type Exit = {
  /** Undefined if a signal ended it. */
  readonly exitCode: number | undefined
  readonly signal: string | undefined
}

type CommandOptions = {
  /** Stdin, which ends after it unless `holdInput`. */
  readonly input?: string | Buffer
  /** Leaves stdin open until the command ends: its end tells the command that its caller is gone. */
  readonly holdInput?: boolean
  readonly signal: AbortSignal
}

type RunOptions = CommandOptions & {
  /** Failure('step-overran') after that, with the command stopped. */
  readonly limitMs: number
  /** What is kept of stdout; 1 MiB unless given. More than that is an error. */
  readonly maxBytes?: number
}

type RunResult = Exit & { readonly stdout: Buffer /** Its last 64 KiB. */; readonly stderr: string }

export type Ssh = {
  run(argv: Argv, options: RunOptions): Promise<RunResult>
  /** Hands over lines as they come, each at most 64 KiB of plain text. */
  follow(
    argv: Argv,
    onLine: (line: string, from: 'stdout' | 'stderr') => void,
    options: CommandOptions,
  ): Promise<Exit>
  readonly closed: boolean
  close(): void
}

/** Milliseconds between keepalives; the fourth that stays without an answer ends the connection. */
const keepaliveMs = 6_000
const handshakeMs = 15_000
/**
 * A channel that isn't open by then never will be: such a machine answers keepalives and nothing else, so its
 * connection is ended, as one that broke.
 */
const openingMs = 30_000
/** sshd allows 10 sessions a connection (MaxSessions); two are left for those that follow. */
const commandsAtOnce = 8

/** Tries once; ConnectionLost if there is no answer or the login is refused. `opening`: milliseconds for a channel. */
export const openSsh = async (
  target: SshTarget,
  signal: AbortSignal,
  { opening = openingMs }: { readonly opening?: number } = {},
): Promise<Ssh> => {
  signal.throwIfAborted()
  const client = new ssh2.Client()
  const lost = Promise.withResolvers<never>()
  lost.promise.catch(() => {})
  let closed = false
  let trouble: Error | undefined
  client.on('error', (error) => {
    trouble ??= error
  })
  client.on('close', () => {
    closed = true
    lost.reject(
      new ConnectionLost(
        `SSH to ${target.host}: ${trouble?.message ?? 'the connection was closed'}`,
        trouble,
      ),
    )
  })

  await handshake(client, target, lost.promise, signal)
  const commands = new PQueue({ concurrency: commandsAtOnce })
  const connection: Connection = {
    client,
    lost: lost.promise,
    opening,
    abandon(why) {
      trouble ??= new Error(why)
      client.destroy()
    },
  }

  const follow: Ssh['follow'] = async (argv, onLine, options) => {
    const stdout = lineReader((line) => onLine(line, 'stdout'))
    const stderr = lineReader((line) => onLine(line, 'stderr'))
    const sinks = { stdout: stdout.write, stderr: stderr.write }
    const exit = await execute(connection, argv, sinks, options)
    stdout.end()
    stderr.end()
    return exit
  }

  return {
    run: (argv, options) => runWithin(connection, commands, argv, options),
    follow,
    get closed() {
      return closed
    },
    close: () => client.end(),
  }
}

const handshake = async (
  client: ssh2.Client,
  target: SshTarget,
  lost: Promise<never>,
  signal: AbortSignal,
): Promise<void> => {
  const pinned = Buffer.from(target.keys.hostPublicKey.split(' ')[1] ?? '', 'base64')
  let foreign = false
  const ready = new Promise<void>((resolve) => client.once('ready', resolve))
  const stop = () => client.destroy()
  signal.addEventListener('abort', stop, { once: true })
  client.on('error', (error) => {
    if (/no matching host key/i.test(error.message)) foreign = true
  })
  client.connect({
    host: target.host,
    port: target.port,
    username: target.user,
    privateKey: target.keys.loginPrivateKey.reveal(),
    authHandler: ['publickey'],
    algorithms: { serverHostKey: ['ssh-ed25519'] },
    hostVerifier: (shown: Buffer) => {
      const same = shown.length === pinned.length && timingSafeEqual(shown, pinned)
      foreign = !same
      return same
    },
    keepaliveInterval: keepaliveMs,
    keepaliveCountMax: 3,
    readyTimeout: handshakeMs,
  })
  try {
    await Promise.race([ready, lost])
  } catch (error) {
    client.destroy()
    signal.throwIfAborted()
    if (!foreign) throw error
    throw new Failure('machine-broken', `${target.host} shows another host key than the one made for it`, {
      cause: error,
    })
  } finally {
    signal.removeEventListener('abort', stop)
  }
}

type Connection = {
  readonly client: ssh2.Client
  /** Rejects when the connection breaks. */
  readonly lost: Promise<never>
  /** Milliseconds that a channel may take to open. */
  readonly opening: number
  abandon(why: string): void
}

/** The limit holds from the call on, also while others are waited for, and whether the machine answers or not. */
const runWithin = async (
  connection: Connection,
  commands: PQueue,
  argv: Argv,
  { limitMs, maxBytes = 2 ** 20, ...options }: RunOptions,
): Promise<RunResult> => {
  const limit = new AbortController()
  const overran = new Failure('step-overran', `${nameOf(argv)} took longer than ${limitMs / 1000} s`)
  const timer = setTimeout(() => limit.abort(overran), limitMs)
  const stdout: Buffer[] = []
  let length = 0
  let stderr = Buffer.alloc(0)
  const sinks = {
    stdout(chunk: Buffer) {
      length += chunk.length
      if (length <= maxBytes) stdout.push(chunk)
      else limit.abort(new Error(`${nameOf(argv)} wrote more than ${maxBytes} bytes`))
    },
    stderr(chunk: Buffer) {
      stderr = Buffer.concat([stderr, chunk]).subarray(-64 * 1024)
    },
  }
  try {
    const signal = AbortSignal.any([options.signal, limit.signal])
    const exit = await untilAbort(
      commands.add(() => execute(connection, argv, sinks, { ...options, signal })),
      signal,
    )
    const text = printableLines(stderr.toString('utf8'))
    return { ...exit, stdout: Buffer.concat(stdout), stderr: text }
  } finally {
    clearTimeout(timer)
  }
}

type Sinks = { readonly stdout: (chunk: Buffer) => void; readonly stderr: (chunk: Buffer) => void }

const execute = async (
  connection: Connection,
  argv: Argv,
  sinks: Sinks,
  { input, holdInput = false, signal }: CommandOptions,
): Promise<Exit> => {
  signal.throwIfAborted()
  const { channel, ended } = await opened(connection, argv, signal)
  ended.catch(() => {})
  // A command may end before it has read its input: that is no error.
  channel.on('error', () => {})
  if (holdInput) channel.write(input ?? '')
  else channel.end(input)

  const stopped = Promise.withResolvers<never>()
  const stop = (reason: unknown) => {
    channel.signal('TERM')
    channel.close()
    stopped.reject(reason)
  }
  // What a sink throws ends its own command; left to the client it would end the connection.
  const guarded = (sink: (chunk: Buffer) => void) => (chunk: Buffer) => {
    try {
      sink(chunk)
    } catch (error) {
      stop(error)
    }
  }
  channel.on('data', guarded(sinks.stdout))
  channel.stderr.on('data', guarded(sinks.stderr))
  const abort = () => stop(signal.reason)
  signal.addEventListener('abort', abort, { once: true })
  if (signal.aborted) abort()
  try {
    return await Promise.race([ended, connection.lost, stopped.promise])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}

/** A channel that opens after it was given up is closed again. */
const opened = async (
  { client, lost, opening, abandon }: Connection,
  argv: Argv,
  signal: AbortSignal,
): Promise<Opened> => {
  const channel = openChannel(client, argv)
  const tooLate = setTimeout(
    () => abandon(`${nameOf(argv)} was not answered for ${opening / 1000} s`),
    opening,
  )
  try {
    return await untilAbort(Promise.race([channel, lost]), signal)
  } catch (error) {
    channel.then(
      ({ channel: late, ended }) => {
        ended.catch(() => {})
        late.close()
      },
      () => {},
    )
    throw error
  } finally {
    clearTimeout(tooLate)
  }
}

type Opened = { readonly channel: ClientChannel; readonly ended: Promise<Exit> }

const openChannel = (client: ssh2.Client, argv: Argv): Promise<Opened> =>
  new Promise((resolve, reject) => {
    const failed = (error: Error) => reject(new ConnectionLost(`no channel: ${error.message}`, error))
    try {
      client.exec(quote(argv), (error, channel) => {
        if (error) failed(error)
        // Listens at once: a short command's exit comes in the same packet as its start.
        else resolve({ channel, ended: endOf(channel, argv) })
      })
    } catch (error) {
      failed(error as Error)
    }
  })

/** Settles when both outputs were read to their ends. */
const endOf = async (channel: ClientChannel, argv: Argv): Promise<Exit> => {
  let exit: Exit | undefined
  channel.on('exit', (exitCode: number | null, signal?: string) => {
    exit = { exitCode: exitCode ?? undefined, signal }
  })
  const closed = (stream: NodeJS.EventEmitter) => new Promise((resolve) => stream.once('close', resolve))
  await Promise.all([closed(channel), closed(channel.stderr)])
  if (!exit) throw new ConnectionLost(`${nameOf(argv)} ended without an exit status`)
  return exit
}

/** Settles as `promise` does, or rejects with the signal's reason as soon as it aborts. */
export const untilAbort = async <Value>(promise: Promise<Value>, signal: AbortSignal): Promise<Value> => {
  promise.catch(() => {})
  signal.throwIfAborted()
  const aborted = Promise.withResolvers<never>()
  const abort = () => aborted.reject(signal.reason)
  signal.addEventListener('abort', abort, { once: true })
  try {
    return await Promise.race([promise, aborted.promise])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}

/** What a command is called in an error: its first words, never its arguments' whole text. */
const nameOf = (argv: Argv): string =>
  argv
    .filter((word) => word !== 'sudo' && word !== '-n')
    .slice(0, 2)
    .join(' ')
    .slice(0, 60)

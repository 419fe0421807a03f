/**
 * The database on one computer: a MongoDB server as a process of our own, with a port and a folder of
 * its own, that never outlives its owner: stopped by its own process id, and when this process exits.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, open, readFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { basename, join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { MongoClient } from 'mongodb'

export type DatabaseServer = {
  /** `mongod`, or `secantusd-rs`: told apart by the file's name. */
  readonly binary: string
}

export type Database = { readonly url: string; stop(): Promise<void> }

const startLimitMs = 60_000
const stopLimitMs = 15_000

/** Starts the server on a free port and waits until it answers; its log is `database.log` in the folder. */
export async function startDatabase(server: DatabaseServer, directory: string): Promise<Database> {
  const dataPath = join(directory, 'data')
  const logPath = join(directory, 'database.log')
  await mkdir(dataPath, { recursive: true })
  const port = await freePort()
  const log = await open(logPath, 'a')
  const child = spawn(server.binary, serverArguments(server.binary, port, dataPath), {
    cwd: directory,
    stdio: ['ignore', log.fd, log.fd],
  })
  const spawned = once(child, 'spawn')
  spawned.catch(() => {}) // it is looked at below
  await log.close()
  const kill = () => child.kill('SIGKILL')
  process.once('exit', kill)

  async function stop(): Promise<void> {
    process.off('exit', kill)
    await stopProcess(child)
  }

  const url = `mongodb://127.0.0.1:${port}/?directConnection=true`
  try {
    await spawned.catch((cause: Error) => {
      throw new Error(`the database server ${server.binary} could not be started: ${cause.message}`, {
        cause,
      })
    })
    await waitUntilItAnswers(url, child, logPath)
  } catch (error) {
    await stop()
    throw error
  }
  return { url, stop }
}

function serverArguments(binary: string, port: number, dataPath: string): readonly string[] {
  if (basename(binary).startsWith('mongod')) {
    return [
      '--bind_ip',
      '127.0.0.1',
      '--port',
      `${port}`,
      '--dbpath',
      dataPath,
      '--wiredTigerCacheSizeGB',
      '0.25',
    ]
  }
  // without the sync flag, acknowledged writes are lost when the server is killed
  const storage = [
    '--storage-path',
    dataPath,
    '--cache-size',
    '256M',
    '--log-file-max',
    '16MB',
    '--sync-on-commit',
  ]
  return ['--host', '127.0.0.1', '--port', `${port}`, '--log-level', 'WARNING', ...storage]
}

async function waitUntilItAnswers(url: string, child: ChildProcess, logPath: string): Promise<void> {
  const deadline = Date.now() + startLimitMs
  while (Date.now() < deadline) {
    if (child.exitCode !== null || child.signalCode !== null) {
      throw new Error(`the database server stopped at once:\n${await lastLines(logPath)}`)
    }
    if (await answers(url)) return
    await pause(50)
  }
  throw new Error(
    `the database server did not answer within ${startLimitMs / 1000} s:\n${await lastLines(logPath)}`,
  )
}

async function answers(url: string): Promise<boolean> {
  const client = new MongoClient(url, { serverSelectionTimeoutMS: 1000 })
  try {
    await client.db('admin').command({ ping: 1 })
    return true
  } catch {
    return false
  } finally {
    await client.close()
  }
}

async function stopProcess(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), stopLimitMs)
  await exited
  clearTimeout(timer)
}

async function lastLines(path: string): Promise<string> {
  return (await readFile(path, 'utf8')).split('\n').slice(-20).join('\n')
}

function freePort(): Promise<number> {
  const server = createServer()
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number }
      server.close(() => resolve(port))
    })
  })
}

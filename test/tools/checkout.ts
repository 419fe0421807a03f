/** A checkout with our package.json, bootstrap and packages, in which programs of a test take the place of ours. */
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFile, cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { Readable } from 'node:stream'

const root = join(import.meta.dirname, '../..')

export type Checkout = AsyncDisposable & {
  write(path: string, text: string): Promise<void>
  read(path: string): Promise<string>
  /** The real npm, as the leader of a group. */
  npm(argv: readonly string[], environment?: Readonly<Record<string, string | undefined>>): Npm
}

export type Npm = {
  readonly pid: number
  /** Settles when this text has been written to stdout. */
  written(text: string): Promise<void>
  /** Settles when npm has ended; `output` is what had been written by then. */
  readonly exit: Promise<{ readonly code: number | null; readonly output: string }>
  /** Settles with all that was written when npm and everything that it has started have ended. */
  readonly end: Promise<string>
}

export async function makeCheckout(): Promise<Checkout> {
  const folder = await mkdtemp(join(tmpdir(), 'bellows-test-'))
  for (const name of ['package.json', 'package-lock.json', '.npmrc']) {
    await copyFile(join(root, name), join(folder, name))
  }
  await cp(join(root, 'local/setup'), join(folder, 'local/setup'), { recursive: true })
  await mkdir(join(folder, 'tools'))
  await copyFile(join(root, 'tools/bootstrap.js'), join(folder, 'tools/bootstrap.js'))
  await symlink(join(root, 'node_modules'), join(folder, 'node_modules'))

  return {
    async write(path, text) {
      await mkdir(dirname(join(folder, path)), { recursive: true })
      await writeFile(join(folder, path), text)
    },
    read: (path) => readFile(join(folder, path), 'utf8'),
    npm(argv, environment = {}) {
      const child: ChildProcessByStdio<null, Readable, null> = spawn('npm', ['--silent', ...argv], {
        cwd: folder,
        env: { ...process.env, ...environment },
        stdio: ['ignore', 'pipe', 'inherit'],
        detached: true,
      })
      let output = ''
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        output += text
      })
      return {
        pid: child.pid ?? 0,
        written: (text) =>
          new Promise((resolve) => {
            const look = () => output.includes(text) && resolve()
            child.stdout.on('data', look)
            look()
          }),
        exit: once(child, 'exit').then(([code]) => ({ code, output })),
        end: once(child, 'close').then(() => output),
      }
    },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  }
}

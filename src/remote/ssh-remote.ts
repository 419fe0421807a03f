/** Machines over SSH: what `host.ts` asks for, in commands and the helper's jobs. */
import type { MachineKeys } from '../cloud/machine-keys.ts'
import { Failure } from '../failure.ts'
import type { LoginFor } from '../registries/registry.ts'
import * as argv from './argv.ts'
import { evidence } from './evidence.ts'
import { callHelper, type HelperDone, type HelperEvent, type HelperJob, installHelper } from './helper.ts'
import type { Host, OutputFile, Remote, TransferProgress } from './host.ts'
import { tailOf } from './lines.ts'
import { imageDigest, pull } from './pull.ts'
import { openSession, type Session, type SessionOptions } from './session.ts'
import { ConnectionLost } from './ssh.ts'
import { trainerVerbs } from './trainer.ts'

export type SshRemoteOptions = Pick<SessionOptions, 'reconnectMs'> & {
  readonly keysFor: (name: string) => MachineKeys
  /** Who logs in; may use sudo without a password. `ubuntu` on the images of DOMAIN. */
  readonly user: string
  readonly port: number
  /** For registries that want one; none do unless given. */
  readonly loginFor?: LoginFor
  /** Seconds between a machine's reports of GPU and disk; 10 unless given. */
  readonly watchSeconds?: number
  /** Milliseconds between two looks at a trainer while its log is read; 15 s unless given. */
  readonly pollMs?: number
}

export const sshRemote = (options: SshRemoteOptions): Remote => ({
  async connect(machine, signal, onWait) {
    const { user, port, keysFor, reconnectMs } = options
    const target = { host: machine.host, port, user, keys: keysFor(machine.name) }
    const overrides = { target, ...(reconnectMs && { reconnectMs }), ...(onWait && { onWait }) }
    return sshHost(await openSession(overrides, signal), options)
  },
})

const commandMs = 60_000

const noLogin: LoginFor = async () => undefined

const sshHost = (session: Session, options: SshRemoteOptions): Host => {
  const { watchSeconds = 10, pollMs, loginFor = noLogin } = options
  const help = (
    job: HelperJob,
    onEvent: (event: HelperEvent) => void,
    signal: AbortSignal,
  ): Promise<HelperDone> =>
    session.use(async (ssh) => {
      await installHelper(ssh, signal)
      return callHelper(ssh, job, onEvent, signal)
    }, signal)

  return {
    ...trainerVerbs(session, { ...(pollMs && { pollMs }) }),

    ready: (signal) =>
      session.use(async (ssh) => {
        const said = tailOf(40)
        const exit = await ssh.follow(argv.awaitBoot, said.add, { signal })
        if (exit.exitCode === 0) return
        throw new Failure('machine-broken', 'the first boot failed', { evidence: said.lines.join('\n') })
      }, signal),

    async writeFile(path, content, signal) {
      const job = {
        operation: 'write',
        path: belowJob(path),
        content: Buffer.from(content).toString('base64'),
      }
      await help(job, () => {}, signal)
    },

    async readFile(path, maxBytes, signal) {
      const pieces = new Map<number, Buffer>()
      const onEvent = (event: HelperEvent) => {
        if (event.event === 'content') pieces.set(event.start, Buffer.from(event.base64, 'base64'))
      }
      const done = await help({ operation: 'read', path: belowJob(path), maxBytes }, onEvent, signal)
      return done.found ? Buffer.concat([...pieces.values()]) : undefined
    },

    async download(files, onProgress, signal) {
      const spoilt: string[] = []
      const onEvent = (event: HelperEvent) => {
        if (event.event === 'spoilt') spoilt.push(event.path)
        else progressTo(onProgress)(event)
      }
      await help({ operation: 'download', files }, onEvent, signal)
      return spoilt
    },

    pull: (image, onProgress, signal) =>
      session.use((ssh) => pull(ssh, { image, loginFor }, onProgress, signal), signal),

    imageDigest: (image, signal) => session.use((ssh) => imageDigest(ssh, image, signal), signal),

    async outputs(folder, signal) {
      const found = new Map<string, OutputFile>()
      const onEvent = (event: HelperEvent) => {
        if (event.event !== 'file') return
        const path = event.path.slice(folder.length + 1)
        found.set(path, { path, size: event.size, sha256: event.sha256 })
      }
      await help({ operation: 'list', folder }, onEvent, signal)
      return [...found.values()]
    },

    async upload(path, { partBytes, urls }, onProgress, signal) {
      const etags: string[] = []
      const onEvent = (event: HelperEvent) => {
        if (event.event === 'part') etags[event.index] = event.etag
        else progressTo(onProgress)(event)
      }
      await help({ operation: 'upload', path: belowJob(path), partBytes, urls }, onEvent, signal)
      return etags
    },

    async uploadFolder(folder, url, signal) {
      const { size = 0, sha256 = '' } = await help(
        { operation: 'upload-folder', folder, url },
        () => {},
        signal,
      )
      return { size, sha256 }
    },

    async watch(onNotice, signal) {
      const onEvent = (event: HelperEvent) => {
        if (event.event === 'notice') onNotice(event.notice)
      }
      const job = { operation: 'watch', everySeconds: watchSeconds, ...argv.watched }
      await session.use(async (ssh) => {
        try {
          await installHelper(ssh, signal)
          await callHelper(ssh, job, onEvent, signal)
        } catch (error) {
          if (!(error instanceof ConnectionLost) && !signal.aborted) throw error
        }
      }, signal)
    },

    setDeadline: (at, signal) =>
      session.use(async (ssh) => {
        const command = argv.setDeadline(Math.floor(at.getTime() / 1000))
        const result = await ssh.run(command, { signal, limitMs: commandMs })
        if (result.exitCode === 0) return
        throw new Failure('machine-broken', `the machine did not take its deadline: ${result.stderr}`)
      }, signal),

    evidence: (name) => evidence(session, name),

    close: () => session.close(),
  }
}

const belowJob = (path: string): string => path.replace(/^\/job\//, '')

const progressTo = (onProgress: (progress: TransferProgress) => void) => (event: HelperEvent) => {
  if (event.event === 'progress') onProgress({ bytes: event.bytes, totalBytes: event.totalBytes })
}

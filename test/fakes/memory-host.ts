/**
 * Hosts of simulated machines: the same port as over SSH, with nothing behind it but memory. Each verb
 * yields through `turn` where a real one waits for the network, so that a seeded scheduler may put
 * anything in between.
 */
import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { extract, pack } from 'tar-stream'
import type { Machine } from '../../src/cloud/machines.ts'
import { Failure } from '../../src/failure.ts'
import type { Host, Remote } from '../../src/remote/host.ts'
import type { MachineInside, SimulatedMachine } from './simulated-machine.ts'

export type MemoryRemoteOptions = {
  /** Undefined: no such machine answers. */
  readonly find: (machine: Machine) => SimulatedMachine | undefined
  /** What presigned URLs lead to. `get` gives undefined where there is nothing; `put` gives an ETag. */
  readonly web: {
    readonly get: (url: string) => Promise<Buffer | undefined>
    readonly put: (url: string, body: Buffer) => Promise<string>
  }
  /** One pause for a network; the next turn of the event loop unless given. */
  readonly turn?: () => Promise<void>
}

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

export const memoryRemote = ({ find, web, turn = nextTurn }: MemoryRemoteOptions): Remote => ({
  async connect(machine, signal) {
    await turn()
    const simulated = find(machine) as MachineInside | undefined
    signal.throwIfAborted()
    if (!simulated) throw new Failure('step-overran', `SSH did not answer at ${machine.name}`)
    await simulated.answer(signal)
    simulated.enter('connect', signal)
    return memoryHost(simulated, web, turn)
  },
})

const memoryHost = (
  machine: MachineInside,
  web: MemoryRemoteOptions['web'],
  turn: () => Promise<void>,
): Host => {
  const pause = async (signal: AbortSignal): Promise<void> => {
    await turn()
    await machine.answer(signal)
  }
  const enter = async (verb: keyof Host, signal: AbortSignal): Promise<void> => {
    await pause(signal)
    machine.enter(verb, signal)
  }
  const inFolder = (folder: string) =>
    [...machine.files]
      .filter(([path]) => path.startsWith(`${folder}/`))
      .map(([path, content]) => [path.slice(folder.length + 1), content] as const)
      .sort(([one], [other]) => (one < other ? -1 : 1))

  return {
    ready: (signal) => enter('ready', signal),

    async writeFile(path, content, signal) {
      await enter('writeFile', signal)
      machine.files.set(belowJob(path), Buffer.from(content))
    },

    async readFile(path, maxBytes, signal) {
      await enter('readFile', signal)
      const content = machine.files.get(belowJob(path))
      if (content && content.length > maxBytes) {
        throw new Failure('internal', `${belowJob(path)} is larger than ${maxBytes} bytes`)
      }
      return content
    },

    async download(files, onProgress, signal) {
      await enter('download', signal)
      const totalBytes = files.reduce((sum, file) => sum + file.size, 0)
      let bytes = 0
      const spoilt: string[] = []
      for (const file of files) {
        const content = await web.get(file.url)
        await pause(signal)
        if (!content || content.length !== file.size || (file.sha256 && sumOf(content) !== file.sha256)) {
          if (file.maySpoil) {
            spoilt.push(file.path)
            continue
          }
          throw new Failure('store-failed', `${file.path} is missing or not what it should be`)
        }
        if (!file.unpack) machine.files.set(file.path, content)
        else
          for (const [name, entry] of await unpackTar(content))
            machine.files.set(`${file.path}/${name}`, entry)
        bytes += file.size
        onProgress({ bytes, totalBytes })
      }
      return spoilt
    },

    async pull(image, onProgress, signal) {
      await enter('pull', signal)
      onProgress(`1 of 1 layers of ${image}`)
    },

    async imageDigest(image, signal) {
      await enter('imageDigest', signal)
      return machine.digestOf(image)
    },

    async trainerState(name, signal) {
      await enter('trainerState', signal)
      return machine.state(name)
    },

    async startTrainer(container, signal) {
      await enter('startTrainer', signal)
      machine.start(container)
    },

    async followTrainer(name, onLine, signal) {
      await enter('followTrainer', signal)
      const trainer = machine.trainers.get(name)
      if (!trainer) throw new Failure('trainer-crashed', `the container ${name} is not there any more`)
      for (let seen = 0; ; ) {
        machine.act(name)
        while (seen < trainer.lines.length) onLine(trainer.lines[seen++] ?? '')
        if (trainer.exit && !machine.logsNeverEnd) {
          const tail = trainer.stderr.length > 0 ? trainer.stderr : trainer.lines
          return { ...trainer.exit, tail: tail.slice(-40) }
        }
        await pause(signal)
      }
    },

    async stopTrainer(name, _graceSeconds, signal) {
      await enter('stopTrainer', signal)
      machine.stop(name)
    },

    async outputs(folder, signal) {
      await enter('outputs', signal)
      return inFolder(folder).map(([path, content]) => ({
        path,
        size: content.length,
        sha256: sumOf(content),
      }))
    },

    async upload(path, { partBytes, urls }, onProgress, signal) {
      await enter('upload', signal)
      const content = machine.files.get(belowJob(path))
      if (!content) throw new Failure('bad-artifact', `${belowJob(path)} is not there or not a plain file`)
      if (urls.length !== Math.max(1, Math.ceil(content.length / partBytes))) {
        throw new Failure(
          'internal',
          `${path} has ${content.length} bytes, not what its upload was begun for`,
        )
      }
      const etags: string[] = []
      for (const [index, url] of urls.entries()) {
        etags.push(await web.put(url, content.subarray(index * partBytes, (index + 1) * partBytes)))
        await pause(signal)
        onProgress({ bytes: Math.min(content.length, (index + 1) * partBytes), totalBytes: content.length })
      }
      return etags
    },

    async uploadFolder(folder, url, signal) {
      await enter('uploadFolder', signal)
      const content = await packTar(inFolder(folder))
      await web.put(url, content)
      await pause(signal)
      return { size: content.length, sha256: sumOf(content) }
    },

    async watch(onNotice, signal) {
      await enter('watch', signal)
      const { connection } = machine
      for (let seen = 0, readable = true; machine.connection === connection; ) {
        for (const reading of machine.readings()) {
          if (reading.kind !== 'unreadable' || readable) onNotice(reading)
          readable = reading.kind !== 'unreadable'
        }
        while (seen < machine.notices.length) {
          const notice = machine.notices[seen++]
          if (notice) onNotice(notice)
        }
        try {
          await pause(signal)
        } catch {
          return
        }
      }
    },

    async setDeadline(at, signal) {
      await enter('setDeadline', signal)
      machine.setDeadline(at)
    },

    async evidence(name) {
      await turn()
      if (machine.frozen) return 'could not be had: the connection is frozen'
      const trainer = machine.trainers.get(name)
      return [
        `== last lines of the log`,
        ...(trainer?.lines.slice(-40) ?? []),
        ...(trainer?.stderr ?? []),
      ].join('\n')
    },

    close() {},
  }
}

const belowJob = (path: string): string => path.replace(/^\/job\//, '')

const packTar = async (files: readonly (readonly [string, Buffer])[]): Promise<Buffer> => {
  const tar = pack()
  for (const [name, content] of files) tar.entry({ name, mtime: new Date(0) }, content)
  tar.finalize()
  const chunks: Buffer[] = []
  for await (const chunk of tar) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

const unpackTar = async (content: Buffer): Promise<Map<string, Buffer>> => {
  const files = new Map<string, Buffer>()
  for await (const entry of Readable.from([content]).pipe(extract())) {
    const chunks: Buffer[] = []
    for await (const chunk of entry) chunks.push(chunk as Buffer)
    if (entry.header.type === 'file') files.set(entry.header.name, Buffer.concat(chunks))
  }
  return files
}

const sumOf = (content: Buffer): string => createHash('sha256').update(content).digest('hex')

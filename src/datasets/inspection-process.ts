/**
 * The child that opens strangers' files, one after the other: a line of JSON on stdin asks, a line on stdout
 * answers. It has no credentials, and its parent kills it when it takes too long. A thread of its own
 * ends it when it holds too much memory, or when its parent is gone, since a decoder that hangs
 * does not notice that.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { setPriority } from 'node:os'
import { createInterface } from 'node:readline'
import { Worker } from 'node:worker_threads'
import { bounds } from './bounds.ts'
import { inspectImage } from './inspect.ts'
import { clipContainer, inspectClip } from './inspect-clip.ts'
import type { Inspection, InspectionRequest } from './inspection.ts'

// The worker's heartbeats go first where the computer is busy.
setPriority(10)

const watch = `
  const { workerData } = require('node:worker_threads')
  const sleeper = new Int32Array(new SharedArrayBuffer(4))
  for (;;) {
    Atomics.wait(sleeper, 0, 0, 20)
    if (process.ppid !== workerData.parent || process.memoryUsage.rss() > workerData.bytes)
      process.kill(process.pid, 'SIGKILL')
  }`
new Worker(watch, { eval: true, workerData: { parent: process.ppid, bytes: bounds.childBytes } }).unref()

process.stdout.write(`${JSON.stringify({ ready: true })}\n`)
for await (const line of createInterface({ input: process.stdin })) {
  const answer = await inspect(JSON.parse(line) as InspectionRequest).catch(systemFault)
  process.stdout.write(`${JSON.stringify(answer)}\n`)
}
process.exit()

async function inspect({ path, cleanPath, limits }: InspectionRequest): Promise<Inspection> {
  const bytes = await readFile(path)
  const container = clipContainer(bytes)
  if (container !== undefined) {
    if (limits.clips) return inspectClip(bytes, container, limits.minSide, limits.clips)
    return { leftOut: 'is a clip, and this model learns from images: it is left out' }
  }
  const inspected = await inspectImage(bytes, limits)
  if ('problem' in inspected) return inspected
  const { bytes: clean, ...rest } = inspected
  await writeFile(cleanPath, clean)
  return { clean: 'written', ...rest }
}

function systemFault(error: unknown): Inspection {
  const { code, syscall = '', message } = error as NodeJS.ErrnoException
  if (code === undefined) throw error
  return { code, syscall, message: message.slice(0, 1000) }
}

/** Getting a trainer's image onto the machine. */
import { Failure } from '../failure.ts'
import * as argv from './argv.ts'
import { tailOf } from './lines.ts'
import type { Ssh } from './ssh.ts'

/** Pulls the image unless it is there. Docker goes on with the layers that it has, so a repeat is cheap. */
export const pull = async (
  ssh: Ssh,
  image: string,
  onProgress: (message: string) => void,
  signal: AbortSignal,
): Promise<void> => {
  const there = await ssh.run(argv.hasImage(image), { signal, limitMs: 60_000 })
  if (there.exitCode === 0) return
  const layers = new Map<string, boolean>()
  const tail = tailOf(40)
  const onLine = (line: string) => {
    tail.add(line)
    const [, layer, what = ''] = /^([0-9a-f]{12}): (.+)$/.exec(line) ?? []
    if (!layer) return
    layers.set(layer, /complete|already exists/i.test(what))
    const done = [...layers.values()].filter(Boolean).length
    onProgress(`${done} of ${layers.size} layers of ${image}`)
  }
  const exit = await ssh.follow(argv.pullImage(image), onLine, { signal })
  if (exit.exitCode === 0) return
  const evidence = tail.lines.join('\n')
  const reason = /no space left/i.test(evidence) ? 'disk-full' : 'internal'
  throw new Failure(reason, `the image ${image} could not be pulled`, { evidence })
}

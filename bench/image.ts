/** The example scripts import more than our trainer does: torchvision, and SDXL's `datasets`. They get a layer of their own. */
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'

const context = fileURLToPath(new URL('.', import.meta.url))

/** @returns the tag of `trainer`, our image, with that layer on top */
export async function examplesImage(trainer: string, gpu: boolean): Promise<string> {
  const tag = trainer.replace('/trainer-', '/bench-')
  await execa('docker', buildArguments(trainer, tag, gpu))
  return tag
}

function buildArguments(trainer: string, tag: string, gpu: boolean): readonly string[] {
  const values = ['--build-arg', `IMAGE=${trainer}`, '--build-arg', `DEVICE=${gpu ? 'cuda' : 'cpu'}`]
  return ['build', '--quiet', '--network', 'host', ...values, '--tag', tag, context]
}

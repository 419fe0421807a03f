/**
 * The demo's clip, for WAN: the twenty-four moments of Eadweard Muybridge's cat, which are one photograph of the dataset,
 * move again. FFmpeg is the WAN trainer image's own, which has it to decode clips.
 */
import { chmod, mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { getgid, getuid } from 'node:process'
import sharp, { type Region } from 'sharp'
import { cached } from './cache.ts'
import { run } from './command.ts'
import { hashInputs } from './inputs.ts'
import { photographOf } from './photographs.ts'
import type { SetupFolder } from './place.ts'
import type { Work } from './tasks.ts'

/** Four rows of six, read as a page is; pixels of the photograph. */
export const moments: readonly Region[] = [12, 138, 262, 392].flatMap((top) =>
  [11, 178, 346, 513, 681, 849].map((left) => ({ left, top, width: 164, height: 108 })),
)

/** Each side; the recipe wants at least 256 pixels. */
const enlarged = 3
const framesPerSecond = 16

/** @returns the clip's path: an H.264 MP4 of 1.5 s and 492 × 324 pixels */
export async function clip(
  photographs: string,
  image: string | undefined,
  place: SetupFolder,
  { say }: Work,
): Promise<string> {
  if (!image) throw new Error("it is made with the WAN trainer's image, and there is none")
  const name = `clip-${hashInputs([], [JSON.stringify({ moments, enlarged, framesPerSecond })])}`
  const folder = await cached(place.cache, name, async (folder) => {
    say('making it')
    await mkdir(join(folder, 'frames'))
    const photograph = join(photographs, photographOf('locomotion-house-cat'))
    for (const [index, region] of moments.entries()) {
      await sharp(photograph)
        .extract(region)
        .resize(enlarged * region.width, enlarged * region.height)
        .toFile(join(folder, 'frames', `${index + 1}.png`))
    }
    await run(['docker', ...encodeCommand(image, folder)], { log: place.log('clip') })
    await rm(join(folder, 'frames'), { recursive: true })
    await chmod(folder, 0o755)
  })
  return join(folder, 'cat.mp4')
}

const ffmpeg = 'import os, sys; from imageio_ffmpeg import get_ffmpeg_exe as exe; os.execv(exe(), sys.argv)'

/** As the user that we are, so that the files are ours. */
function encodeCommand(image: string, folder: string): readonly string[] {
  return [
    'run',
    ...['--rm', '--init', '--network', 'none', '--user', `${getuid?.() ?? 0}:${getgid?.() ?? 0}`],
    ...['--volume', `${folder}:/clip`, '--workdir', '/clip', '--entrypoint', 'python3', image, '-c', ffmpeg],
    ...['-loglevel', 'error', '-framerate', `${framesPerSecond}`, '-i', 'frames/%d.png'],
    ...['-c:v', 'libx264', '-pix_fmt', 'yuv420p', 'cat.mp4'],
  ]
}

/**
 * Everything that the demo and the tests need and that npm doesn't install. `setUp` gets what is missing; what
 * is there it only looks up, in well under a second. Run by itself it says what there is.
 */
import { mkdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { commandLine } from '../../src/command-line.ts'
import type { Family } from '../../src/family.ts'
import { makeBaseImage } from './base-image.ts'
import { cacheFolder } from './cache.ts'
import { clip } from './clip.ts'
import { docker } from './docker.ts'
import { buildImage, type ImageRecipe, machineImage, tinyTrainerImage, trainerImage } from './images.ts'
import { type Mongo, mongo } from './mongo.ts'
import { photographs } from './photographs.ts'
import { createSetupFolder, type SetupFolder } from './place.ts'
import { createProgress, duration, type Report } from './progress.ts'
import { pulumi } from './pulumi.ts'
import { createSetup, type Part, type Setup } from './tasks.ts'
import { tinyBase } from './tiny-base.ts'
import { versitygw } from './versitygw.ts'

export type DevEnvironment = {
  /** Folder that all of it is kept in, outside of the checkout. */
  readonly cache: string
  /** Pulumi's command. */
  readonly pulumi: string
  /** Folder with `pulumi-language-nodejs`, to be put on the path of processes that run Pulumi programs. */
  readonly languageHost: string
  readonly mongo: Mongo
  /** The S3 server's binary. */
  readonly versitygw: string
  /** Tags in this computer's Docker. */
  readonly images: {
    readonly machine: string
    /** `tiny` keeps to the container's contract and trains nothing: for fault tests. */
    readonly trainers: Readonly<Partial<Record<Family | 'tiny', string>>>
  }
  /** Folders of tiny base models with random weights, in diffusers' layout. */
  readonly bases: Readonly<Partial<Record<Family, string>>>
  /** Folder with the demo's pictures, `captions.json` and `LICENCES.md`. */
  readonly photographs: string
  /** An MP4, for the family that learns from clips. */
  readonly clip: string
}

export type PartName = Exclude<keyof DevEnvironment, 'cache'>

export const everything = [
  'pulumi',
  'languageHost',
  'images',
  'bases',
  'versitygw',
  'mongo',
  'photographs',
  'clip',
] as const satisfies readonly PartName[]

const imagesFolder = fileURLToPath(new URL('../../images', import.meta.url))

/**
 * Gets what is wanted of the devEnvironment: independent parts side by side, the ones that take longest first.
 *
 * @param report Takes one line of progress at a time; default: stderr
 * @throws SetupFailed with one sentence for each part that failed
 */
export async function setUp<Name extends PartName = PartName>(
  wanted: readonly Name[] = everything as readonly PartName[] as readonly Name[],
  report: Report = console.error,
): Promise<Pick<DevEnvironment, Name | 'cache'>> {
  const started = performance.now()
  const place = createSetupFolder(cacheFolder())
  await mkdir(join(place.cache, 'logs'), { recursive: true })
  const progress = createProgress(report)
  const setup = createSetup(progress)
  const parts = startParts(place, setup, wanted)
  await setup.finish()
  const entries = Object.entries(parts).map(async ([name, part]) => [name, await part] as const)
  const devEnvironment = {
    cache: place.cache,
    ...Object.fromEntries(await Promise.all(entries)),
  } as DevEnvironment
  const passed = duration(performance.now() - started)
  report(progress.silent ? `Set-up: everything is there (${passed})` : `Set-up: ready after ${passed}`)
  return devEnvironment
}

type Parts = { [Name in PartName]?: Part<DevEnvironment[Name]> }

function startParts(place: SetupFolder, { part }: Setup, wanted: readonly PartName[]): Parts {
  const parts: Parts = {}
  const wants = (...names: readonly PartName[]) => names.some((name) => wanted.includes(name))
  if (wants('mongo')) parts.mongo = part('MongoDB server', (work) => mongo(place, work))
  if (wants('pulumi', 'languageHost')) {
    const command = part('Pulumi', (work) => pulumi(place, work))
    parts.pulumi = command
    parts.languageHost = command.then(dirname)
    parts.languageHost.catch(() => {}) // the command's part tells
  }
  const made = wants('images', 'bases', 'clip') ? startImages(place, part) : undefined
  Object.assign(parts, made)
  if (wants('versitygw')) parts.versitygw = part('S3 server', (work) => versitygw(place, work))
  const pictures = wants('photographs', 'clip')
    ? part('photographs', (work) => photographs(place, work))
    : undefined
  if (pictures !== undefined) parts.photographs = pictures
  if (pictures !== undefined && made && wants('clip')) {
    const needs = [pictures, made.images]
    parts.clip = part(
      'clip',
      async (work) => clip(await pictures, (await made.images).trainers.WAN, place, work),
      needs,
    )
  }
  return parts
}

function startImages(place: SetupFolder, part: Setup['part']): Required<Pick<Parts, 'images' | 'bases'>> {
  const running = part('Docker', (work) => docker(place, work))
  const debian = part('base image', (work) => makeBaseImage(place, work), [running])
  const image = (name: string, recipe: ImageRecipe, after: Part<unknown> = debian) =>
    part(name, async (work) => buildImage(recipe, await debian, place, work), [debian, after])
  const trainer = (family: Family, after?: Part<unknown>) => {
    const recipe = trainerImage(imagesFolder, family)
    return recipe && image(`${family} trainer image`, recipe, after)
  }
  const base = (family: Family, made: Part<string> | undefined) =>
    made && part(`tiny ${family} base`, async (work) => tinyBase(family, await made, place, work), [made])

  const machine = image('machine image', machineImage(imagesFolder))
  const tiny = image('tiny trainer image', tinyTrainerImage(imagesFolder))
  // The families share all layers but the last: one after another, whether the one before can be built or not.
  const SDXL = trainer('SDXL')
  const FLUX = trainer('FLUX', settled(SDXL))
  const WAN = trainer('WAN', settled(FLUX))

  const trainers = allOf({ SDXL, FLUX, WAN, tiny })
  const images = Promise.all([machine, trainers]).then(([machine, trainers]) => ({ machine, trainers }))
  const bases = allOf({ SDXL: base('SDXL', SDXL), FLUX: base('FLUX', FLUX), WAN: base('WAN', WAN) })
  // What went wrong, the parts themselves have told.
  for (const all of [images, bases]) all.catch(() => {})
  return { images, bases }
}

const settled = async (part: Part<unknown> | undefined): Promise<void> => {
  await Promise.allSettled([part])
}

/** Without the parts that have no recipe. */
async function allOf<Key extends string>(
  parts: Readonly<Record<Key, Part<string> | undefined>>,
): Promise<Partial<Record<Key, string>>> {
  const entries = Object.entries<Part<string> | undefined>(parts).map(async ([key, part]) => [
    key,
    await part,
  ])
  const all = await Promise.all(entries)
  return Object.fromEntries(all.filter(([, value]) => value !== undefined)) as Partial<Record<Key, string>>
}

if (import.meta.main) {
  commandLine(
    'npm run setup --',
    'Get, or build, everything that the demo and the tests need; print where it is.',
  ).parse()
  const devEnvironment = await setUp().catch((error: Error) => {
    console.error(error.message)
    process.exitCode = 1
  })
  if (devEnvironment) console.log(JSON.stringify(devEnvironment, null, 2))
}

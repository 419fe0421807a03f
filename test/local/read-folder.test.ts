import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { readFolder } from '../../local/read-folder.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bellows-test-'))
})
afterEach(() => rm(folder, { recursive: true }))

test('a folder is read with its sub-folders, whatever its files are called', async () => {
  await mkdir(join(folder, 'sub/.thumbnails'), { recursive: true })
  const files = ['b.JFIF', 'a:b.jpg', 'old.bmp', 'phone.heic', 'sub/kite.png', '._b.JFIF', '.DS_Store']
  for (const file of [...files, 'sub/.thumbnails/kite.png', 'notes.json'])
    await writeFile(join(folder, file), '')
  await writeFile(join(folder, 'sub/kite.txt'), 'a kite')
  await writeFile(join(folder, 'a:b.txt'), Buffer.from('\ufeffa dog', 'utf16le'))
  await writeFile(join(folder, '._old.txt'), 'no caption')
  expect(await readFolder(folder)).toEqual({
    paths: ['a:b.jpg', 'b.JFIF', 'old.bmp', 'phone.heic', 'sub/kite.png'],
    captions: ['a dog', '', '', '', 'a kite'],
    warnings: [],
  })
})

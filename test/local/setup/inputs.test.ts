import { chmodSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { hashInputs } from '../../../local/setup/inputs.ts'

describe('the hash of an image', () => {
  let folder: string
  const put = (name: string, text: string) => writeFileSync(join(folder, name), text)

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'bellows-inputs-'))
    mkdirSync(join(folder, 'deep'))
    put('Dockerfile', 'FROM scratch')
    put('deep/boot', 'true')
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  it('is the same while nothing changes, wherever the folder is', () => {
    const before = hashInputs([folder], ['base'])
    const moved = `${folder}-moved`
    renameSync(folder, moved)
    expect(hashInputs([moved], ['base'])).toBe(before)
    renameSync(moved, folder)
    expect(before).toMatch(/^[0-9a-f]{12}$/)
  })

  it.each([
    ["a file's content", () => put('deep/boot', 'false')],
    ["a file's name", () => renameSync(join(folder, 'deep/boot'), join(folder, 'deep/start'))],
    ["a file's executable bit", () => chmodSync(join(folder, 'deep/boot'), 0o755)],
    ['another file', () => put('more', '')],
  ])('changes with %s', (_, change) => {
    const before = hashInputs([folder])
    change()
    expect(hashInputs([folder])).not.toBe(before)
  })

  it('changes with what it is built on', () => {
    expect(hashInputs([folder], ['one'])).not.toBe(hashInputs([folder], ['two']))
    expect(hashInputs([], ['ab', 'c'])).not.toBe(hashInputs([], ['a', 'bc']))
  })

  it('does not change with what running the code leaves behind', () => {
    const before = hashInputs([folder])
    mkdirSync(join(folder, 'deep/__pycache__'))
    put('deep/__pycache__/boot.cpython-313.pyc', 'x')
    expect(hashInputs([folder])).toBe(before)
  })
})

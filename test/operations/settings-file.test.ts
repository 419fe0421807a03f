import { mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseEnv } from 'node:util'
import { expect, test } from 'vitest'
import { putSettings, withSettings } from '../../src/operations/settings-file.ts'

test('a setting goes where it stands, commented out or not, and only once', () => {
  const text =
    '# The region\n#AWS_REGION=us-east-1\n\nBELLOWS_AMI=\n# kept\nMONGODB_URL=mongodb://x\nBELLOWS_AMI=old\n'
  expect(withSettings(text, { BELLOWS_AMI: 'ami-1', AWS_REGION: 'eu-central-1' })).toBe(
    '# The region\nAWS_REGION=eu-central-1\n\nBELLOWS_AMI=ami-1\n# kept\nMONGODB_URL=mongodb://x\n',
  )
})

test('one that has no place is put at the end, also behind a line without a line break', () => {
  expect(withSettings('ONE=1', { TWO: '2' })).toBe('ONE=1\nTWO=2\n')
})

test.each(['s3://state?endpoint=https://a.example&region=auto', 'with # and blanks', 'a=b=c'])(
  '%s is read again as it was',
  (value) => {
    expect(parseEnv(withSettings('', { VALUE: value }))).toEqual({ VALUE: value })
  },
)

test('a file that is made is its owner’s only', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'bellows-test-'))
  try {
    const file = join(folder, '.env')
    await putSettings(file, { ONE: '1' })
    await putSettings(file, { ONE: '2', TWO: '3' })
    expect(await readFile(file, 'utf8')).toBe('ONE=2\nTWO=3\n')
    expect((await stat(file)).mode & 0o777).toBe(0o600)
  } finally {
    await rm(folder, { recursive: true })
  }
})

import { expect, test } from 'vitest'
import { storeOf } from '../src/clients.ts'
import { readComfyUiToken, readConfig } from '../src/config.ts'
import { fewestSettings } from './support/settings.ts'

const problemsOf = (settings: Readonly<Record<string, string>>) => {
  try {
    readConfig({ ...fewestSettings, ...settings })
    return []
  } catch (error) {
    const [title, ...problems] = (error as Error).message.split('\n')
    expect(title).toBe('These settings are missing or wrong (README.md lists them all):')
    return problems.map((problem) => problem.trim())
  }
}

const token = '6b1f0c2d9e8a7354'

test('the fewest settings are enough, and the page is for this computer then', () => {
  expect(readConfig(fewestSettings)).toMatchObject({ BELLOWS_HOST: '127.0.0.1', BELLOWS_CONCURRENCY: 4 })
})

test.each([
  ['BELLOWS_SECRET', 'x', 'is too short: 32 characters'],
  ['BELLOWS_SECRET', 'a'.repeat(64), 'is not random text'],
  ['PULUMI_CONFIG_PASSPHRASE', 'p', 'is too short: 12 characters'],
  ['PULUMI_CONFIG_PASSPHRASE', 'aaaaaaaaaaaaaaaa', 'is not random text'],
  ['BELLOWS_COMFYUI_TOKEN', 'secret', 'is too short: 16 characters'],
  ['BELLOWS_STATUS_TOKEN', '1234', 'is too short: 16 characters'],
])('%s=%s is refused: it %s', (name, value, sentence) => {
  const [problem, ...more] = problemsOf({ [name]: value })
  expect(more.filter((each) => !each.startsWith(`${name}:`))).toEqual([])
  expect(problem).toContain(`${name}: ${sentence}`)
  expect(problem).not.toContain(`"${value}"`)
})

test.each(['root', 'Ubuntu', 'a b', '-x'])('a login to machines as "%s" is refused', (name) => {
  expect(problemsOf({ BELLOWS_SSH_USER: name })).toEqual([
    'BELLOWS_SSH_USER: is not the name of a user other than root',
  ])
})

const buckets = ['R2_DATASETS_BUCKET', 'R2_MODELS_BUCKET', 'R2_BASES_BUCKET', 'R2_WORK_BUCKET']
const pairs = buckets.flatMap((one, index) => buckets.slice(index + 1).map((other) => [one, other] as const))

test.each(pairs)('%s and %s can’t be one bucket', (one, other) => {
  expect(problemsOf({ [one]: 'shared', [other]: 'shared' })).toEqual([
    `${other}: "shared" is ${one} too; each needs a bucket of its own`,
  ])
})

test.each([
  ['30', '60', false],
  ['20', '60', false],
  ['19.9', '60', true],
  ['5', '15', false],
  ['2', '15', true],
])('a heartbeat of %s s for a lease of %s s may start: %s', (beat, lease, may) => {
  const problems = problemsOf({ BELLOWS_HEARTBEAT_SECONDS: beat, BELLOWS_LEASE_SECONDS: lease })
  if (may) expect(problems).toEqual([])
  else expect(problems[0]).toContain(`BELLOWS_HEARTBEAT_SECONDS: ${beat} is no shorter than a third of`)
})

test.each(['0.0.0.0', '::', '10.0.0.5', '192.0.2.1', 'bellows.example.com'])(
  'a page that others reach, at %s, needs a token',
  (host) => {
    expect(problemsOf({ BELLOWS_HOST: host })[0]).toMatch(
      /^BELLOWS_STATUS_TOKEN: BELLOWS_HOST is .* it needs a token/,
    )
    expect(problemsOf({ BELLOWS_HOST: host, BELLOWS_STATUS_TOKEN: token })).toEqual([])
  },
)

test.each(['127.0.0.1', '127.8.9.1', '::1', 'localhost'])('a page on %s does not', (host) => {
  expect(problemsOf({ BELLOWS_HOST: host })).toEqual([])
})

test.each([
  [{ COMFY_DEPLOY_URL: 'https://comfy.example' }, 'COMFY_DEPLOY_KEY: COMFY_DEPLOY_URL is set, and needs it'],
  [{ AWS_ACCESS_KEY_ID: 'AKIA' }, 'AWS_SECRET_ACCESS_KEY: AWS_ACCESS_KEY_ID is set, and needs it'],
  [{ R2_ACCOUNT_ID: '' }, 'R2_ACCOUNT_ID: set it, or R2_ENDPOINT'],
])('half of what belongs together is refused: %o', (settings, problem) => {
  expect(problemsOf(settings)).toEqual([problem])
})

test('the token of a ComfyUI that is too short is said in a sentence, without it', () => {
  expect(() => readComfyUiToken({ BELLOWS_COMFYUI_TOKEN: 'hunter2' })).toThrow(
    /BELLOWS_COMFYUI_TOKEN: is too short: 16 characters or more/,
  )
  expect(readComfyUiToken({ BELLOWS_COMFYUI_TOKEN: '' })).toEqual({})
})

test.each([
  [{}, 'a1b2c3.r2.cloudflarestorage.com'],
  [{ R2_JURISDICTION: 'default' }, 'a1b2c3.r2.cloudflarestorage.com'],
  [{ R2_JURISDICTION: 'eu' }, 'a1b2c3.eu.r2.cloudflarestorage.com'],
  [{ R2_JURISDICTION: 'fedramp' }, 'a1b2c3.fedramp.r2.cloudflarestorage.com'],
  [{ R2_JURISDICTION: 'eu', R2_ENDPOINT: 'https://s3.example.com' }, 's3.example.com'],
])('with %o the store is at %s', async (settings, host) => {
  const store = storeOf(readConfig({ ...fewestSettings, ...settings }))
  expect(new URL(await store.presignRead({ bucket: 'work', key: 'one' }, 60)).host).toBe(host)
})

test('a jurisdiction that R2 has not is refused', () => {
  expect(problemsOf({ R2_JURISDICTION: 'ch' })[0]).toMatch(/^R2_JURISDICTION: .*"eu"/)
})

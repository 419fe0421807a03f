import { expect, test } from 'vitest'
import { pushImages, whatToDo } from '../../tools/push-images.ts'

const ecr = '123456789012.dkr.ecr.eu-west-1.amazonaws.com/bellows'
const push = (registry: string, trainer?: string) =>
  pushImages({ registry, trainer, families: ['SDXL'], device: 'cpu', say: () => {} })

/** As Docker 28 says them. */
test.each([
  ['write /var/lib/docker/tmp/x: no space left on device', 'r.example', /^There is no room .* 20 GB/],
  ['no basic auth credentials', 'r.example/a', /Log in as .*: docker login r\.example\n/],
  [
    'no basic auth credentials',
    ecr,
    /: aws ecr get-login-password --region eu-west-1 \| docker login --username AWS --password-stdin 123456789012\.dkr/,
  ],
  ['denied: requested access to the resource is denied', 'someone', /^someone takes nothing from this user/],
  [
    "name unknown: The repository with name 'bellows/trainer-sdxl' does not exist in the registry",
    ecr,
    /aws ecr create-repository --region eu-west-1 --repository-name bellows\/trainer-sdxl/,
  ],
  ['dial tcp: lookup r.example: no such host', 'r.example', /^r\.example can't be reached/],
])('of "%s" from %s an operator reads what to do, and the words', (words, registry, advice) => {
  expect(whatToDo(words, registry)).toMatch(advice)
  expect(whatToDo(words, registry)).toContain(words)
})

test('unknown words are told as they are', () => {
  expect(whatToDo('the moon is full', 'r.example')).toBe('the moon is full')
})

test.each(['https://r.example', 'R.example/a', 'r.example/', 'r.example/a:1', ''])(
  '"%s" is no registry',
  async (registry) => {
    await expect(push(registry)).rejects.toThrow(`"${registry}" is no registry such as`)
  },
)

test.each(['../etc', 'nothing'])('a trainer %s that is not in images/ is refused', async (trainer) => {
  await expect(push('r.example', trainer)).rejects.toThrow(`images/${trainer}/Dockerfile does not exist.`)
})

import { expect, test } from 'vitest'
import { dockerConfig, registryOf } from '../../src/registries/registry.ts'
import { Secret } from '../../src/secret.ts'

test.each([
  ['ubuntu', 'docker.io'],
  ['lab/trainer:1', 'docker.io'],
  ['index.docker.io/lab/trainer', 'docker.io'],
  ['ghcr.io/lab/trainer@sha256:0a', 'ghcr.io'],
  ['localhost/lab/trainer:1', 'localhost'],
  ['10.0.0.7:5000/trainer:1', '10.0.0.7:5000'],
  ['111122223333.dkr.ecr.eu-west-1.amazonaws.com/a/b:1', '111122223333.dkr.ecr.eu-west-1.amazonaws.com'],
])('%s comes from %s', (image, registry) => {
  expect(registryOf(image)).toBe(registry)
})

test('a login is written as engines read it, and under both names of Docker’s hub', () => {
  const login = { user: 'me', password: new Secret('pass') }
  expect(JSON.parse(dockerConfig('ghcr.io', login))).toEqual({
    auths: { 'ghcr.io': { auth: 'bWU6cGFzcw==' } },
  })
  expect(JSON.parse(dockerConfig('docker.io', login))).toEqual({
    auths: {
      'docker.io': { auth: 'bWU6cGFzcw==' },
      'https://index.docker.io/v1/': { auth: 'bWU6cGFzcw==' },
    },
  })
})

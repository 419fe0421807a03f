import { expect, test } from 'vitest'
import { covers } from '../../../local/setup/packages.js'

const zod = { version: '4.0.0', integrity: 'sha512-zod' }
const forMac = { version: '1.0.0', integrity: 'sha512-mac', optional: true }
const wanted = { '': {}, 'node_modules/zod': zod, 'node_modules/for-mac': forMac }

test('an installation with every package of the lock is complete', () => {
  expect(covers({ 'node_modules/zod': zod, 'node_modules/for-mac': forMac }, wanted)).toBe(true)
})

test('packages for other computers may be missing', () => {
  expect(covers({ 'node_modules/zod': zod }, wanted)).toBe(true)
})

test('any other package may not', () => {
  expect(covers({ 'node_modules/for-mac': forMac }, wanted)).toBe(false)
})

test('another version, or the same version with another content, is not what the lock says', () => {
  expect(covers({ 'node_modules/zod': { ...zod, version: '4.0.1' } }, wanted)).toBe(false)
  expect(covers({ 'node_modules/zod': { ...zod, integrity: 'sha512-other' } }, wanted)).toBe(false)
  expect(
    covers({ 'node_modules/zod': zod, 'node_modules/for-mac': { ...forMac, version: '2.0.0' } }, wanted),
  ).toBe(false)
})

import { expect, test } from 'vitest'
import { workerNetworks } from '../../infra/worker-networks.ts'

test('addresses and networks are taken, each once', () => {
  const given = ['198.51.100.4', '203.0.113.16/28', '10.0.0.0/8', '198.51.100.4/32']
  expect(workerNetworks.parse(given)).toEqual(['198.51.100.4/32', '203.0.113.16/28', '10.0.0.0/8'])
})

test.each([
  ['the whole Internet', '0.0.0.0/0', /at least \/8/],
  ['half of the Internet', '128.0.0.0/1', /at least \/8/],
  ['a network that begins elsewhere', '203.0.113.17/28', /bits beyond its prefix/],
  ['a prefix that does not exist', '203.0.113.0/33', /no IPv4 network/],
  ['a name', 'worker.example.com', /no IPv4 network/],
  ['IPv6', '2001:db8::1', /no IPv4 network/],
  ['nothing', '', /no IPv4 network/],
])('%s is refused: %s', (_, network, reason) => {
  const { error } = workerNetworks.safeParse(['198.51.100.4', network])
  expect(error?.issues.map(({ message }) => message).join()).toMatch(reason)
  expect(error?.issues[0]?.path).toEqual([1])
})

test('an empty list, and more than a group takes, are refused', () => {
  expect(workerNetworks.safeParse([]).success).toBe(false)
  const many = Array.from({ length: 61 }, (_, last) => `198.51.100.${last}`)
  expect(workerNetworks.safeParse(many).success).toBe(false)
})

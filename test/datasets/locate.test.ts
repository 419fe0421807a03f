import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { locateImage } from '../../src/datasets/locate.ts'

const bucket = { name: 'datasets-prod', publicUrl: 'https://cdn.example/data' }

describe('an image address', () => {
  it.each([
    ['https://cdn.example/data/a/b.png', 'a/b.png'],
    ['https://cdn.example/data/a%20b/%C3%BC.png?v=2#top', 'a b/ü.png'],
    ['HTTPS://CDN.example:443/data/x.jpg', 'x.jpg'],
    ['s3://datasets-prod/sets/1/cat.png', 'sets/1/cat.png'],
    ['sets/1/cat.png', 'sets/1/cat.png'],
    ['/sets/1/cat.png', 'sets/1/cat.png'],
    ['sets/it\'s "odd" & $(x).png', 'sets/it\'s "odd" & $(x).png'],
  ])('%s is a key of the datasets bucket', (address, key) => {
    expect(locateImage(address, bucket)).toEqual({ ref: { bucket: 'datasets', key } })
  })

  it.each([
    'http://169.254.169.254/latest/meta-data/iam/security-credentials/',
    'http://127.0.0.1:8080/data/a.png',
    'https://[::1]/data/a.png',
    'https://2130706433/data/a.png',
    'https://elsewhere.example/data/a.png',
    'https://cdn.example.evil.example/data/a.png',
    'https://cdn.example@evil.example/data/a.png',
    'https://user:pass@cdn.example/data/a.png',
    'https://cdn.example:8443/data/a.png',
    'http://cdn.example/data/a.png',
    'https://cdn.example/other/a.png',
    'https://cdn.example/database/a.png',
    'https://cdn.example/data/../other/a.png',
    'https://cdn.example/data/%2e%2e/other/a.png',
    'https://cdn.example/data/a/%2E./b.png',
    'https://cdn.example/data/%2e%2e%2fother/a.png',
    'https://cdn.example/data/..\\other\\a.png',
    'https://cdn.example/data/a%00.png',
    'https://cdn.example/data/%zz.png',
    'https://cdn.example/data/',
    's3://models/loras/a.png',
    's3://datasets-prod/../models/a.png',
    's3://datasets-prod/',
    's3://datasets-prod',
    'file:///etc/passwd',
    'ftp://cdn.example/data/a.png',
    'data:image/png;base64,AAAA',
    '//cdn.example/data/a.png',
    '\\\\server\\share\\a.png',
    '../a.png',
    'a/../../b.png',
    'a\nb.png',
    'ht\ntps://cdn.example/data/a.png',
    'a\u2028b.png',
    `${'x'.repeat(1025)}.png`,
    '',
    '   ',
    '/',
    'folder/',
  ])('%j is refused with a phrase', (address) => {
    expect(locateImage(address, bucket)).toEqual({ problem: expect.stringMatching(/^(is|has) /) })
  })

  it('is refused as a URL where the bucket has no public domain', () => {
    expect(locateImage('https://cdn.example/data/a.png', { name: 'd' })).toHaveProperty('problem')
  })

  it('never leads anywhere but to a plain key, whatever it says', () => {
    const address = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.webUrl(),
      fc.string({ unit: 'grapheme' }).map((rest) => `https://cdn.example/data/${rest}`),
      fc
        .array(fc.constantFrom('..', '.', '/', '\\', '%2e', '%2f', 'a', '?', '#', '@', ':'))
        .map((parts) => parts.join('')),
      fc
        .array(fc.constantFrom('..', '.', '/', '\\', '%2e', '%2f', '%5c', 'a', '?', '@'))
        .map((parts) => `https://cdn.example/data/${parts.join('')}`),
    )
    fc.assert(
      fc.property(address, (text) => {
        const located = locateImage(text, bucket)
        if ('problem' in located) return
        expect(located.ref.bucket).toBe('datasets')
        expect(located.ref.key.split(/[/\\]/)).not.toContain('..')
        expect(located.ref.key).not.toMatch(/\p{Cc}/u)
      }),
      { numRuns: 2000 },
    )
  })
})

import { execFileSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { captionTexts } from '../../src/datasets/caption-text.ts'

/** By iconv, as the editors of others would write it. */
const written = (text: string, encoding: string) =>
  execFileSync('iconv', ['-f', 'UTF-8', '-t', encoding], { input: text })

const french = ['un chien très âgé à la forêt', 'été, café et crème brûlée', 'l’hôtel près de la mer']
const chinese = ['一只红色的风筝在天空中飞翔', '一个女孩站在海边看日落', '夜晚的城市街道，霓虹灯']
const japanese = ['赤い凧が空を飛んでいる', '海辺に立っている女の子の写真', '夜の街並みとネオンの光です']

test.each([
  ['UTF-8', french, []],
  ['UTF-16LE', french, []],
  ['UTF-16BE', french, []],
  ['UTF-16', french, []],
  ['CP1252', french, ['3 captions were read as Windows-1252: look at them, or save them as UTF-8.']],
  ['GBK', chinese, ['3 captions were read as GBK: look at them, or save them as UTF-8.']],
  ['SHIFT_JIS', japanese, ['3 captions were read as Shift-JIS: look at them, or save them as UTF-8.']],
])('captions in %s are read', (encoding, texts, warnings) => {
  const files = texts.map((text, index) => ({ name: `${index}.txt`, bytes: written(text, encoding) }))
  expect(captionTexts(files)).toEqual({ texts, warnings })
})

test('the mark of UTF-8 is no part of a caption', () => {
  expect(captionTexts([{ name: 'a.txt', bytes: Buffer.from('\ufeffa kite') }]).texts).toEqual(['a kite'])
})

test('files in Unicode stay what they are beside others', () => {
  const files = [
    { name: 'a.txt', bytes: Buffer.from('naïve 風') },
    { name: 'b.txt', bytes: written(french.join(', '), 'CP1252') },
  ]
  const { texts, warnings } = captionTexts(files)
  expect(texts).toEqual(['naïve 風', french.join(', ')])
  expect(warnings).toEqual([
    'The caption b.txt was read as Windows-1252: look at them, or save them as UTF-8.',
  ])
})

test('what is no text is refused by its name', () => {
  const bytes = Buffer.from([0xff, 0xff, 0x00, 0x81, 0x8d, 0xfe, 0xff])
  expect(() => captionTexts([{ name: 'kite.txt', bytes }])).toThrow('the caption kite.txt is in an unknown')
})

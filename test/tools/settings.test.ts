import { expect, it } from 'vitest'
import { z } from 'zod'
import { settingsSchema } from '../../src/config.ts'
import { example, settingsOf, table, withTable } from '../../tools/settings.ts'

const schema = z.object({
  DATABASE: z.string().min(1).describe('Where the data is'),
  GPU: z.stringbool().default(true).describe('Use it | or not'),
  REGION: z.string().optional().describe('Where machines are'),
})

it('a table has a row for each setting: whether it must be there, and what it is otherwise', () => {
  expect(table(settingsOf(schema)).split('\n').slice(2)).toEqual([
    '| `DATABASE` | **required** | Where the data is |',
    '| `GPU` | `true` | Use it \\| or not |',
    '| `REGION` | – | Where machines are |',
  ])
})

it('the example leaves open what has to be filled in, and only that', () => {
  const lines = example(settingsOf(schema)).split('\n')
  expect(lines).toContain('DATABASE=')
  expect(lines).toContain('#GPU=true')
  expect(lines).toContain('#REGION=')
})

it('what is printed is the same on every computer', () => {
  const worker = settingsOf(settingsSchema).find(({ name }) => name === 'BELLOWS_WORKER')
  expect(worker?.default).toBe('<computer>-<process>')
})

it('the table replaces what is between its markers, and nothing else', () => {
  const before = '# Title\n<!-- settings -->\nold\n<!-- /settings -->\nEnd\n'
  const after = withTable(before, 'new')
  expect(after).toBe('# Title\n<!-- settings -->\n\nnew\n\n<!-- /settings -->\nEnd\n')
  expect(withTable(after, 'new')).toBe(after)
  expect(() => withTable('# Title', 'new')).toThrow('README.md has no <!-- settings -->')
})

/**
 * What a policy allows, as IAM decides it: everything is refused that no statement allows, and a statement that
 * denies goes before all that allow. Of IAM's language only what our policies say; the rest is an error, so that no
 * statement is passed over unread. https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
 */
import type { Policy, Statement } from '../../../infra/worker-rights.ts'

/** One question of AWS's to itself; a call makes one for each of its resources, and all must be allowed. */
export type Question = {
  /** Such as `ec2:RunInstances`. */
  readonly action: string
  /** ARN, or `*` where the action knows no resources. */
  readonly resource: string
  /** By condition key, such as `aws:RequestedRegion`. One that the call does not have fits no condition. */
  readonly context: Readonly<Record<string, string>>
}

export type Answer = 'allowed' | 'denied' | 'not allowed'

export function decide({ Statement }: Policy, question: Question): Answer {
  const effects = Statement.filter((each) => fits(each, question)).map(({ Effect }) => Effect)
  if (effects.includes('Deny')) return 'denied'
  return effects.includes('Allow') ? 'allowed' : 'not allowed'
}

const known = ['Sid', 'Effect', 'Action', 'Resource', 'Condition']

function fits(statement: Statement, { action, resource, context }: Question): boolean {
  const foreign = Object.keys(statement).filter((key) => !known.includes(key))
  if (foreign.length > 0) throw new Error(`The emulator does not evaluate ${foreign.join(', ')} of a policy`)
  return (
    list(statement.Action).some((each) => pattern(each.toLowerCase()).test(action.toLowerCase())) &&
    list(statement.Resource).some((each) => pattern(each).test(resource)) &&
    Object.entries(statement.Condition ?? {}).every(([operator, wanted]) =>
      Object.entries(wanted).every(([key, values]) => holds(operator, context[key], list(values))),
    )
  )
}

function holds(operator: string, found: string | undefined, values: readonly string[]): boolean {
  if (operator === 'StringEquals') return found !== undefined && values.includes(found)
  if (operator === 'StringLike')
    return found !== undefined && values.some((each) => pattern(each).test(found))
  throw new Error(`The emulator does not evaluate ${operator} of a policy`)
}

const list = (value: string | readonly string[]): readonly string[] =>
  typeof value === 'string' ? [value] : value

/** `*` stands for any text, `?` for any sign. */
export const pattern = (value: string): RegExp =>
  new RegExp(
    `^${value
      .replace(/[.+^${}()|[\]\\]/g, '\\$&')
      .replaceAll('*', '.*')
      .replaceAll('?', '.')}$`,
    's',
  )

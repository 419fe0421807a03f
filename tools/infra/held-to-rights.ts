/**
 * The worker's rights beside the calls that a machine's life was seen to make: by the names of the actions, in both directions,
 * and by the tags that a right demands of a call which makes something. What a call reaches must carry tags too, which the
 * record does not show; the emulator asks for each call (test/local/emulator/worker-rights.test.ts).
 */
import { deploymentTag, workerRights } from '../../infra/worker-rights.ts'
import type { RecordedCall } from './recorder.ts'
import type { Row } from './row.ts'

/** Calls that the worker makes by itself, not through the provider; the last was not seen with 5.100, and reads what may do nothing. */
const notOfThisLife = new Set([
  'ec2:GetConsoleOutput',
  'ec2:DeleteVolume',
  'ecr:GetAuthorizationToken',
  'ecr:BatchGetImage',
  'ecr:GetDownloadUrlForLayer',
  'iam:GetInstanceProfile',
])

export function heldToRights(calls: readonly RecordedCall[]): Row {
  const made = new Set(calls.map(({ action }) => action))
  const actions = new Set(workerRights.map(({ action }) => action))
  const lacking = [...made].filter((action) => !actions.has(action) && !/^ec2:Describe/.test(action))
  const byOthers = (action: string) =>
    notOfThisLife.has(action) || /^(ec2:CreateTags|iam:PassRole|ec2:Describe\*)$/.test(action)
  const unused = [...actions].filter((action) => !made.has(action) && !byOthers(action))
  const untagged = calls.flatMap(untaggedBy)
  const detail = [
    ...(lacking.length > 0 ? [`not allowed: ${lacking.join(', ')}`] : []),
    ...(unused.length > 0 ? [`never called: ${unused.join(', ')}`] : []),
    ...(untagged.length > 0 ? [`without the tag that is demanded: ${untagged.join(', ')}`] : []),
    ...(made.has('ec2:CreateTags') ? ['tags are given by a call of their own, which is not allowed'] : []),
  ].join('; ')
  return {
    check:
      'the worker’s rights and the calls of a machine’s life, in both directions, with the tags that they give',
    result: detail ? 'failed' : 'passed',
    detail: detail || `${made.size} different calls`,
  }
}

/** Kinds of what the call makes that it should give the deployment's tag, and does not. */
function untaggedBy({ action, parameters }: RecordedCall): readonly string[] {
  const demanded = workerRights.filter((right) => right.action === action && right.limit === 'made-ours')
  return demanded
    .flatMap(({ on = [] }) => on)
    .filter((kind) => !tagged(parameters).includes(kind))
    .map((kind) => `${action} of a ${kind}`)
}

/** https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_TagSpecification.html */
function tagged(parameters: URLSearchParams): readonly string[] {
  return [...parameters].flatMap(([name, kind]) => {
    const [, number] = /^TagSpecification\.(\d+)\.ResourceType$/.exec(name) ?? []
    if (number === undefined) return []
    const keys = [...parameters].filter(([key]) => key.startsWith(`TagSpecification.${number}.Tag.`))
    return keys.some(([key, value]) => key.endsWith('.Key') && value === deploymentTag) ? [kind] : []
  })
}

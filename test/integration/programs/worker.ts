/** A worker that begins an operation which never ends, says so, and waits to be killed. */
import { pulumiStacks, type StacksOptions } from '../../../src/cloud/pulumi/stacks.ts'
import { Secret } from '../../../src/secret.ts'

const options = JSON.parse(process.argv[2] as string) as StacksOptions
const stacks = pulumiStacks({
  ...options,
  passphrase: new Secret('a passphrase for tests'),
  program: new URL('./component.ts', import.meta.url),
  onLine: (_stack, _operation, line) => {
    if (line.line === 'resource' && line.doing === 'hang') process.stdout.write('hanging\n')
  },
})
await stacks.up('one', { inputs: { message: 'never', hang: true } })

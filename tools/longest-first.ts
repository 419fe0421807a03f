import { relative } from 'node:path'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** Seconds that the slowest test files take, measured on 2 cores on 2026-11-24. */
const seconds: Readonly<Record<string, number>> = {
  'test/faults/real.test.ts': 250,
  'test/integration/demo.test.ts': 150,
  'test/faults/real-crowd.test.ts': 110,
  'test/integration/local-machine.test.ts': 112,
  'test/faults/real-machines.test.ts': 100,
  'test/integration/cloud-stacks.test.ts': 77,
  'test/integration/unkind-ec2.test.ts': 75, // this and the last three: 2026-11-25
  'test/integration/ssh-remote.test.ts': 73,
  'test/faults/real-crash.test.ts': 70,
  'test/faults/real-secrets.test.ts': 53,
  'test/integration/run-it-for-real.test.ts': 25,
  'test/integration/push-images.test.ts': 20,
  'test/integration/private-images.test.ts': 20,
}

/** Begun first, the slow ones don't hold up the end of the run, also where nothing has been measured yet. */
export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const secondsOf = ({ moduleId }: TestSpecification) =>
      seconds[relative(this.ctx.config.root, moduleId)] ?? 0
    return (await super.sort(files)).sort((one, other) => secondsOf(other) - secondsOf(one))
  }
}

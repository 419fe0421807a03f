/** Before the tests on real parts: gets what they need, and hands it to them as `devEnvironment` of ./dev-environment.ts. */
import type { TestProject } from 'vitest/node'
import { setUp } from '../../local/setup/dev-environment.ts'
import type {} from './dev-environment.ts'

export default async function getRealParts(project: TestProject): Promise<void> {
  project.provide('devEnvironment', await setUp())
}

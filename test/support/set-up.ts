/** Before the tests on real parts: gets what they need, and hands it to them as `toolbox` of ./toolbox.ts. */
import type { TestProject } from 'vitest/node'
import { setUp } from '../../tools/toolbox.ts'
import type {} from './toolbox.ts'

export default async function getRealParts(project: TestProject): Promise<void> {
  project.provide('toolbox', await setUp())
}

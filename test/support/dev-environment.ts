/** What the set-up has installed on this computer, for tests on real parts (the project `real` of vitest.config.ts). */
import { inject } from 'vitest'
import type { DevEnvironment } from '../../local/setup/dev-environment.ts'

declare module 'vitest' {
  interface ProvidedContext {
    readonly devEnvironment: DevEnvironment
  }
}

export const devEnvironment: DevEnvironment = inject('devEnvironment')

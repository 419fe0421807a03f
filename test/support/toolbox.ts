/** What the set-up has installed on this computer, for tests on real parts (the project `real` of vitest.config.ts). */
import { inject } from 'vitest'
import type { Toolbox } from '../../tools/toolbox.ts'

declare module 'vitest' {
  interface ProvidedContext {
    readonly toolbox: Toolbox
  }
}

export const toolbox: Toolbox = inject('toolbox')

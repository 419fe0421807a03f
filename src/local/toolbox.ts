/** What the set-up (`tools/`) has got onto this computer, for the local cloud to use. */
import type { Family } from '../recipes/plan.ts'

export type Toolbox = {
  readonly cache: string
  /** Pulumi's CLI. */
  readonly pulumi: string
  /** Folder with `pulumi-language-nodejs`, for the path. */
  readonly languageHost: string
  /** A server that runs already, or the program of one. */
  readonly mongo: { readonly url?: string; readonly binary?: string }
  readonly versitygw: string
  /** Tags in this computer's Docker. */
  readonly images: {
    readonly machine: string
    readonly trainers: Readonly<Partial<Record<Family | 'tiny', string>>>
  }
  /** Folders of the tiny base models, as diffusers lays them out. */
  readonly bases: Readonly<Partial<Record<Family, string>>>
  /** Folder with the demo's photographs and their `captions.json`. */
  readonly photographs: string
}

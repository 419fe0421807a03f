import type { Family } from '../family.ts'
import { flux } from './flux.ts'
import type { Recipe } from './recipe.ts'
import { sdxl } from './sdxl.ts'
import { wan } from './wan.ts'

/** Every family has its recipe: one that is missing doesn't compile. */
export const recipes: Readonly<Record<Family, Recipe>> = { SDXL: sdxl, FLUX: flux, WAN: wan }

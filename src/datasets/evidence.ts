import type { ObjectRef } from '../storage/store.ts'

/** Where a prepared archive's description is: written after it, so that it is whole where this is there. */
export function evidenceOf(archive: ObjectRef): ObjectRef {
  return { ...archive, key: archive.key.replace(/\.tar$/, '.json') }
}

/**
 * What a primary that steps down answers, as MongoDB 4.2 and later do: connections stay open; what is under way is
 * interrupted; then writes are refused, and reads that did not ask for a secondary.
 *
 * Labels tell a driver what it may send again: `RetryableWriteError` where the command has a transaction number of
 * its own, or ends a transaction (such a command may have been applied, and the server knows it by that number);
 * `TransientTransactionError` inside a transaction; none on any other write, which the driver gives up.
 * https://github.com/mongodb/specifications/blob/master/source/retryable-writes/retryable-writes.md
 */
import type { Document } from './wire-messages.ts'

const writes = new Set([
  ...['insert', 'update', 'delete', 'findAndModify', 'bulkWrite'],
  ...['commitTransaction', 'abortTransaction'],
  ...['create', 'createIndexes', 'dropIndexes', 'drop', 'dropDatabase'],
])
const reads = new Set(['find', 'aggregate', 'count', 'distinct', 'listCollections', 'listIndexes'])

/** The first key of a command is its name. */
export const nameOf = (command: Document): string => Object.keys(command)[0] ?? ''

export const isWrite = (command: Document): boolean => writes.has(nameOf(command))

/** Undefined for what a secondary answers too. */
export function refusalOf(command: Document): Document | undefined {
  if (isWrite(command)) {
    const labels = labelsFor(command)
    const untouched = labels.includes('RetryableWriteError') ? ['NoWritesPerformed'] : []
    return errorOf(10107, 'NotWritablePrimary', 'not primary', [...labels, ...untouched])
  }
  const mode = command.$readPreference?.mode ?? 'primary'
  if (!reads.has(nameOf(command)) || mode !== 'primary') return undefined
  return errorOf(13435, 'NotPrimaryNoSecondaryOk', 'not primary and secondaryOk=false', [])
}

/** For a write under way: it may have been applied, or not. */
export function interruptionOf(command: Document): Document {
  return errorOf(
    11602,
    'InterruptedDueToReplStateChange',
    'operation was interrupted because of a replication state change',
    labelsFor(command),
  )
}

/** The `hello` of a member that is no primary any more, and knows of no other. */
export function asSecondary({ primary: _, electionId: __, ...hello }: Document): Document {
  if (!hello.setName) return { ...hello } // no set, no election
  const flag = 'ismaster' in hello ? 'ismaster' : 'isWritablePrimary'
  return { ...hello, [flag]: false, secondary: true }
}

function labelsFor(command: Document): readonly string[] {
  if (['commitTransaction', 'abortTransaction'].includes(nameOf(command))) return ['RetryableWriteError']
  if (command.txnNumber === undefined) return []
  return command.autocommit === false ? ['TransientTransactionError'] : ['RetryableWriteError']
}

function errorOf(code: number, codeName: string, errmsg: string, errorLabels: readonly string[]): Document {
  return { ok: 0, code, codeName, errmsg, ...(errorLabels.length > 0 && { errorLabels }) }
}

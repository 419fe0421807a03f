/** How many Pulumi operations a worker's memory has room for. */
import { totalmem } from 'node:os'

/**
 * One operation: the AWS provider with 554 MB at its most (5.100 in Terraform, an order and its end), the engine with 105 and
 * the process that runs the program with 125, as measured on Linux.
 */
const operationBytes = 800e6

/** The worker itself, with a few datasets that are checked and packed. */
const workerBytes = 1e9

/** More at once gain nothing: EC2 answers no faster, and an order is minutes of a job's hours. */
const most = 4

/** Of this computer, or what a container may use of it; in bytes. */
export function availableMemory(): number {
  const limit = process.constrainedMemory() // 0 where it is not known, beyond all bounds where there is none
  return limit > 0 ? Math.min(limit, totalmem()) : totalmem()
}

/** At least one: a worker with less memory than that may have swap. */
export function operationsFor(memoryBytes: number): number {
  return Math.max(1, Math.min(most, Math.floor((memoryBytes - workerBytes) / operationBytes)))
}

/** A sentence for an operator where so many operations need more than there is; nothing where they don't. */
export function memoryWarning(operations: number, memoryBytes: number): string | undefined {
  const needed = workerBytes + operations * operationBytes
  if (needed <= memoryBytes) return undefined
  return (
    `${operations} Pulumi ${operations === 1 ? 'operation needs' : 'operations at once need'} ${gigabytes(needed)} with the worker, ` +
    `and it has ${gigabytes(memoryBytes)} (BELLOWS_PULUMI_CONCURRENCY): one of them may be killed, and its machine be left to the reaper`
  )
}

const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`

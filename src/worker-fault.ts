/**
 * Errors that say that this worker itself is broken: its disk is full, a program is missing, it may open no more files. No
 * job is to blame for one, no machine is, and another try here meets it again. Errors of the operating system reach us with
 * a code, which is looked for along the chain of causes; code that wraps an error keeps it as the `cause`.
 */

type SystemError = { readonly code: string; readonly syscall: string; readonly path: string }

/** What is at fault, as the middle of a sentence; by the error's code. */
const faults: Readonly<Record<string, (where: string) => string>> = {
  ENOSPC: (where) => `the disk of this worker is full${where}`,
  EDQUOT: (where) => `the quota of this worker's disk is used up${where}`,
  EIO: (where) => `the disk of this worker can't be read or written${where}`,
  EROFS: (where) => `this worker may only read what it must write${where}`,
  EACCES: (where) => `this worker lacks a permission${where}`,
  EPERM: (where) => `this worker lacks a permission${where}`,
  EMFILE: () => 'this worker has too many files open',
  ENFILE: () => 'the computer of this worker has too many files open',
  ENOMEM: () => 'the computer of this worker has no memory left',
}

/** Deeper than any chain that we make; one may be circular. */
const deepest = 10

/** Says what is broken about this worker, in words for its operator; undefined if nothing is, by this error. */
export function workerFault(error: unknown): string | undefined {
  for (let cause = error, depth = 0; cause && depth < deepest; depth++) {
    const sentence = sentenceOf(systemError(cause))
    if (sentence) return sentence
    cause = (cause as { readonly cause?: unknown }).cause
  }
  return undefined
}

function systemError(error: unknown): SystemError {
  const text = (key: string) => {
    const value = (error as Readonly<Record<string, unknown>>)[key]
    return typeof value === 'string' ? value : ''
  }
  return { code: text('code'), syscall: text('syscall'), path: text('path') }
}

function sentenceOf({ code, syscall, path }: SystemError): string | undefined {
  if (isNetwork(syscall)) return undefined
  const starts = syscall.startsWith('spawn')
  const program = path || syscall.replace(/^spawn(Sync)? ?/, '') || 'a program'
  if (starts && code === 'ENOENT') return `the command ${program} was not found on this worker`
  if (starts && (code === 'EACCES' || code === 'ENOEXEC'))
    return `the command ${program} can't be run on this worker`
  if (starts && code === 'EAGAIN') return 'this worker may start no more processes'
  // Folders are made below one that the worker was given: that one is not there.
  if (/^mkdtemp$|^mkdir$/.test(syscall) && (code === 'ENOENT' || code === 'ENOTDIR'))
    return `this worker can't make the folder ${path}`
  return faults[code]?.(path && ` (${path})`)
}

/** A port that a firewall keeps shut, or another program has, says nothing of the rest. */
const isNetwork = (syscall: string) =>
  /^(connect|bind|listen|accept|shutdown|getaddrinfo|query|send|recv)/.test(syscall)

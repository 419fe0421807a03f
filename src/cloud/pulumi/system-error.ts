/**
 * Operating system errors in a stack operation: in its own process, and in the engine's, which reports
 * them only as text. Both reach the worker as a code, so that it can tell a fault of its own from the cloud's.
 */
export type SystemError = {
  /** Such as `ENOSPC`. */
  readonly code: string
  /** Such as `write` or `spawn pulumi`. */
  readonly syscall: string
  readonly path?: string
}

/** From an error or its causes, including an error of Pulumi's Automation API, which keeps it in its result. */
export function systemErrorOf(error: unknown, depth = 0): SystemError | undefined {
  if (typeof error !== 'object' || error === null || depth > 5) return undefined
  const { code, syscall, path, cause, commandResult } = error as {
    readonly code?: unknown
    readonly syscall?: unknown
    readonly path?: unknown
    readonly cause?: unknown
    readonly commandResult?: { readonly err?: unknown }
  }
  if (typeof code === 'string' && typeof syscall === 'string')
    return { code, syscall, ...(typeof path === 'string' && { path }) }
  return systemErrorOf(commandResult?.err, depth + 1) ?? systemErrorOf(cause, depth + 1)
}

/** Go's messages for what makes a worker useless for any work. */
const codes: Readonly<Record<string, string>> = {
  'no space left on device': 'ENOSPC',
  'disk quota exceeded': 'EDQUOT',
  'input/output error': 'EIO',
  'read-only file system': 'EROFS',
  'permission denied': 'EACCES',
  'too many open files': 'EMFILE',
  'too many open files in system': 'ENFILE',
  'cannot allocate memory': 'ENOMEM',
}
const inGo = new RegExp(
  `\\b(open|openat|create|read|write|mkdir|mkdirall|rename|link|symlink|chmod|sync|close|fork/exec) (/\\S+): (${Object.keys(
    codes,
  )
    .sort((one, other) => other.length - one.length)
    .join('|')})`,
)
const inNode = new RegExp(
  `\\b(${[...new Set(Object.values(codes))].join('|')}): [^,\\n]*, (\\w+)(?: '([^'\\n]+)')?`,
)

/** From the output of a Go or Node program; only in the form that each gives to an error of its own file system. */
export function systemErrorIn(text: string): SystemError | undefined {
  const [, doing, file, words] = inGo.exec(text) ?? []
  const code = codes[words ?? '']
  if (doing && code) return { code, syscall: doing === 'fork/exec' ? 'spawn' : doing, path: file as string }
  const [, nodeCode, syscall, path] = inNode.exec(text) ?? []
  return nodeCode && syscall ? { code: nodeCode, syscall, ...(path && { path }) } : undefined
}

/** As Node would throw it. `pulumi` is the command that was looked up. */
export function asError(found: SystemError | undefined, pulumi: string): Error | undefined {
  if (!found) return undefined
  const path = found.syscall === 'spawn pulumi' ? pulumi : found.path
  return Object.assign(new Error([found.code, found.syscall, path].filter(Boolean).join(' ')), {
    ...found,
    path,
  })
}

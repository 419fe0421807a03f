/**
 * A model's repository on the Hugging Face hub, at one commit. Every request is retried where that may
 * help, and a refusal by the hub is an error that a person can act on (refusals.ts).
 */
import { downloadFile, listFiles, modelInfo } from '@huggingface/hub'
import { z } from 'zod'
import { fetch } from '../fetch.ts'
import { isConnectionError, isTransientStatus, type RetryPolicy, retry } from '../retry.ts'
import type { Secret } from '../secret.ts'
import { explainRefusal, HubRefusal } from './hub-refusals.ts'

export type RepositoryName = {
  /** `owner/name`. */
  readonly name: string
  /** Branch, tag or commit; default: `main`. */
  readonly revision?: string | undefined
}

export type RepositoryFile = {
  readonly path: string
  readonly size: number
  /** The hub's own sum, which it has for large files only (their LFS oid). */
  readonly sha256: string | undefined
}

export type Repository = {
  readonly name: string
  /** The commit of the revision when it was opened; everything is read from there. */
  readonly commit: string
  /** `huggingface.co/owner/name@commit`. */
  readonly source: string
  /** As its model card names it: SPDX identifier, or name and address. */
  readonly licence: string | undefined
  readonly files: readonly RepositoryFile[]
  /** Bytes from `start` to `end`, the latter not included. */
  read(path: string, start: number, end: number): Promise<Buffer>
}

export type HubOptions = {
  readonly token?: Secret | undefined
  /** Default: https://huggingface.co. */
  readonly hubUrl?: string
  readonly retry?: RetryPolicy
}

const commitSchema = z.string().regex(/^[0-9a-f]{40}$/)

/** The hub counts requests in five-minute windows, so patience pays. */
const patient: RetryPolicy = { attempts: 10, firstDelayMs: 500, maxDelayMs: 30_000 }

/** `owner/name` or `owner/name@revision`; undefined for anything else. */
export function parseRepositoryName(text: string): RepositoryName | undefined {
  const match = /^([A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w.-]*)(?:@(\S+))?$/.exec(text)
  return match?.[1] ? { name: match[1], revision: match[2] } : undefined
}

export async function openRepository(
  { name, revision = 'main' }: RepositoryName,
  { token, hubUrl = 'https://huggingface.co', retry: policy = patient }: HubOptions = {},
): Promise<Repository> {
  const host = new URL(hubUrl).host
  const asked = { repository: name, revision, host, hasToken: token !== undefined }
  const access = { hubUrl, ...(token && { accessToken: token.reveal() }), fetch: strictFetch }

  function ask<T>(work: () => Promise<T>): Promise<T> {
    return retry(work, isTransient, policy).catch((error) => {
      throw explainRefusal(error, asked)
    })
  }

  const info = await ask(() =>
    modelInfo({ ...access, name, revision, additionalFields: ['sha', 'cardData'] }),
  )
  const commit = commitSchema.parse(info.sha)
  const entries = await ask(() =>
    Array.fromAsync(listFiles({ ...access, repo: name, revision: commit, recursive: true })),
  )
  const open = remembered((path) =>
    // The classic download, which every proxy and mirror supports, not Xet: the sum is checked either way.
    downloadFile({ ...access, repo: name, revision: commit, path, xet: false }),
  )

  return {
    name,
    commit,
    source: `${host}/${name}@${commit}`,
    licence: licenceOf(info.cardData, `${hubUrl}/${name}/blob/${commit}`),
    files: entries
      .filter(({ type }) => type === 'file')
      .map(({ path, size, lfs }) => ({ path, size, sha256: lfs?.oid })),
    read: (path, start, end) =>
      ask(async () => {
        const bytes = await (await open(path))?.slice(start, end).arrayBuffer()
        if (bytes?.byteLength !== end - start)
          throw new Error(
            `${path} came in ${bytes?.byteLength ?? 0} bytes where ${end - start} were asked for`,
          )
        return Buffer.from(bytes)
      }),
  }
}

/** The client's errors drop the response's headers, which have the reason; so refusals are built here. */
const strictFetch: typeof fetch = async (input, init) => {
  const answer = await fetch(input, init)
  if (answer.ok) return answer
  await answer.body?.cancel()
  throw new HubRefusal(answer.status, answer.headers)
}

function isTransient(error: unknown): boolean {
  return error instanceof HubRefusal ? isTransientStatus(error.status) : isConnectionError(error)
}

/** Fetches each path once, and again only after a failure. */
function remembered<T>(ask: (path: string) => Promise<T>): (path: string) => Promise<T> {
  const answers = new Map<string, Promise<T>>()
  return (path) => {
    const known = answers.get(path)
    if (known !== undefined) return known
    const answer = ask(path)
    answers.set(path, answer)
    answer.catch(() => answers.delete(path))
    return answer
  }
}

const cardSchema = z.object({
  license: z.union([z.string(), z.array(z.string())]),
  license_name: z.string().optional().catch(undefined),
  license_link: z.string().optional().catch(undefined),
})

/** `other` means that the card has a name and a link, often to a file in the repository. */
function licenceOf(card: unknown, files: string): string | undefined {
  const parsed = cardSchema.safeParse(card)
  if (!parsed.success) return undefined
  const { license, license_name: name, license_link: link } = parsed.data
  const identifier = [license].flat().join(', ')
  if (identifier !== 'other') return identifier || undefined
  const address = link && (URL.canParse(link) ? link : `${files}/${link}`)
  return [name ?? identifier, address && `(${address})`].filter(Boolean).join(' ')
}

/**
 * The hub's refusals as sentences. It gives the reason in two headers: `X-Error-Code`, and `X-Error-Message` where
 * the code is missing. Without a token, private and missing repositories look the same, on purpose.
 */

export class HubRefusal extends Error {
  readonly status: number
  readonly code: string
  readonly detail: string

  constructor(status: number, headers: Headers) {
    const detail = headers.get('X-Error-Message') ?? ''
    super(`HTTP ${status}${detail && `: ${detail}`}`)
    this.name = 'HubRefusal'
    this.status = status
    this.code = headers.get('X-Error-Code') ?? ''
    this.detail = detail
  }
}

export type Asked = {
  readonly repository: string
  readonly revision: string
  readonly host: string
  readonly hasToken: boolean
}

export function explainRefusal(error: unknown, asked: Asked): Error {
  const sentence = error instanceof HubRefusal ? explain(error, asked) : explainOther(error, asked)
  return new Error(sentence, { cause: error })
}

function explain(refusal: HubRefusal, { repository, revision, host, hasToken }: Asked): string {
  const { status, code, detail } = refusal
  const page = `https://${host}/${repository}`
  if (code === 'GatedRepo')
    return hasToken
      ? `${repository} is gated, and the account of BELLOWS_HF_TOKEN has no access: accept its terms at ${page} with that account, and wait where its owner has to agree.`
      : `${repository} is gated: accept its terms at ${page}, then set BELLOWS_HF_TOKEN to a token of that account.`
  if (code === 'RevisionNotFound') return `${repository} has no branch, tag or commit "${revision}".`
  if (code === 'EntryNotFound') return `${repository} has lost a file that it lists. Try again.`
  if (code === 'DisabledRepo') return `${repository} has been disabled on ${host}.`
  if (status === 401 && hasToken && code === '' && detail.includes('credentials'))
    return `${host} doesn't know the token in BELLOWS_HF_TOKEN.`
  if (code === 'RepoNotFound' || status === 401 || status === 404)
    return hasToken
      ? `There is no model ${repository} on ${host} that the account of BELLOWS_HF_TOKEN may see.`
      : `There is no model ${repository} on ${host}, or it is private: then set BELLOWS_HF_TOKEN.`
  if (status === 403) return `${host} doesn't let ${repository} be read: ${refusal.message}.`
  if (status === 429) return `${host} wants a pause from this address. Try again in some minutes.`
  return `${host} failed at ${repository} with ${refusal.message}. Try again later.`
}

function explainOther(error: unknown, { repository, host }: Asked): string {
  if (!(error instanceof Error)) return `${host} failed at ${repository}: ${String(error)}`
  if (error.message.includes('access token'))
    return "BELLOWS_HF_TOKEN is no token of the hub: those begin with 'hf_'."
  const cause = error.cause instanceof Error ? `: ${error.cause.message}` : ''
  return `${host} failed at ${repository}: ${error.message}${cause}`
}

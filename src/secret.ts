import { createHash, timingSafeEqual } from 'node:crypto'
import { inspect } from 'node:util'

/** A value that must not be seen: printing, logging or serialising it gives `[redacted]`. */
export class Secret {
  readonly #value: string

  constructor(value: string) {
    this.#value = value
  }

  /** The value itself. Call this only where it is handed to the service that it is for. */
  reveal(): string {
    return this.#value
  }

  toString(): string {
    return '[redacted]'
  }

  toJSON(): string {
    return '[redacted]'
  }

  [inspect.custom](): string {
    return '[redacted]'
  }
}

/** In a time that tells nothing of the secret, its length included. */
export function isSecret(shown: string, secret: Secret): boolean {
  const sum = (text: string) => createHash('sha256').update(text).digest()
  return timingSafeEqual(sum(shown), sum(secret.reveal()))
}

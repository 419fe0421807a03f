/**
 * One process at a time, on this computer. The lock is a listening socket with an abstract name: the kernel lets
 * go of it when its holder ends, however it ends, so that there is no stale lock to clear. A process that comes
 * second connects to the holder and waits for that connection to close.
 */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'

/**
 * @template T
 * @param {string} name Anything; two locks of one name exclude each other.
 * @param {() => Promise<T>} work
 * @param {() => void} [onWait] Called once, when another process holds the lock.
 * @returns {Promise<T>}
 */
export async function withLock(name, work, onWait) {
  const address = `\0bellows-${createHash('sha256').update(name).digest('hex').slice(0, 32)}`
  let holder = await tryToHold(address)
  if (holder === undefined) onWait?.()
  while (holder === undefined) {
    await untilReleased(address)
    holder = await tryToHold(address)
  }
  try {
    return await work()
  } finally {
    await holder.release()
  }
}

/**
 * @param {string} address
 * @returns {Promise<{ release(): Promise<void> } | undefined>}
 */
function tryToHold(address) {
  return new Promise((resolve, reject) => {
    /** @type {Set<import('node:net').Socket>} */
    const waiting = new Set()
    const server = createServer((socket) => {
      waiting.add(socket.on('error', () => {}).on('close', () => waiting.delete(socket)))
    })
    server.once('error', (/** @type {NodeJS.ErrnoException} */ error) =>
      error.code === 'EADDRINUSE' ? resolve(undefined) : reject(error),
    )
    server.listen(address, () =>
      resolve({
        async release() {
          const closed = once(server, 'close')
          server.close()
          for (const socket of waiting) socket.destroy()
          await closed
        },
      }),
    )
  })
}

/** @param {string} address */
async function untilReleased(address) {
  const socket = connect(address)
  await new Promise((resolve) => socket.on('error', resolve).on('close', resolve).resume())
  await pause(10 + Math.random() * 40)
}

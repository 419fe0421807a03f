/**
 * Ending a process with everything that it started. Pulumi's engine puts its plugins into process groups
 * of their own, so the group alone is not all; a detached child leads a session too, and its descendants
 * stay in that, whatever their group.
 */
import { readdirSync, readFileSync } from 'node:fs'

/** Signals the group that `leader` leads; false when nothing of it is left. */
export function signalGroup(leader: number, signal: NodeJS.Signals): boolean {
  try {
    process.kill(-leader, signal)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false
    throw error
  }
}

/** SIGKILL to the whole group and, on Linux, to the whole session. */
export function killSession(leader: number): void {
  signalGroup(leader, 'SIGKILL')
  for (const member of membersOf(leader)) {
    try {
      process.kill(member, 'SIGKILL')
    } catch {
      // It ended by itself in the meantime.
    }
  }
}

/** Living processes of the session; none where there is no /proc. */
export function membersOf(session: number): readonly number[] {
  return processes().filter((id) => {
    const [state, , , itsSession] = statusOf(id)
    return Number(itsSession) === session && state !== 'Z'
  })
}

/** Also false for a zombie: a process that has ended but has not been reaped. */
export function isAlive(id: number): boolean {
  try {
    process.kill(id, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH'
  }
  return statusOf(id)[0] !== 'Z'
}

function processes(): readonly number[] {
  try {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
  } catch {
    return []
  }
}

/** State, parent, group and session, as in proc(5); the command before them may hold anything, `)` too. */
function statusOf(id: number): readonly string[] {
  try {
    const line = readFileSync(`/proc/${id}/stat`, 'utf8')
    return line.slice(line.lastIndexOf(')') + 2).split(' ')
  } catch {
    return []
  }
}

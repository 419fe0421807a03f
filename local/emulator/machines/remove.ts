/** Ends every container and volume of a deployment's machines, whatever state they are in. */
import { docker } from './docker.ts'

const lines = (text: string) => text.split('\n').filter(Boolean)

/** What is there, by name: containers first, then volumes. */
export async function machinesLeft(deployment: string): Promise<readonly string[]> {
  const filter = ['--filter', `label=bellows.local=${deployment}`]
  const containers = await docker(['ps', '--all', '--format', 'container {{.Names}}', ...filter])
  const volumes = await docker(['volume', 'ls', '--format', 'volume {{.Name}}', ...filter])
  return [...lines(containers), ...lines(volumes)]
}

export async function removeMachines(deployment: string): Promise<void> {
  for (const each of await machinesLeft(deployment)) {
    const [kind = '', name = ''] = each.split(' ')
    await docker(
      kind === 'container' ? ['rm', '--force', '--volumes', name] : ['volume', 'rm', '--force', name],
    )
  }
}

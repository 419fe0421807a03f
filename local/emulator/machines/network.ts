/**
 * The network of one deployment's machines: a bridge of this computer. Its gateway address is this
 * computer as the machines see it: servers that they need must listen there, and the worker's SSH
 * connections come from it.
 */
import { docker, isAbsent } from './docker.ts'

export type LocalNetwork = { readonly name: string; readonly gateway: string }

const networkName = (deployment: string): string => `bellows-${deployment}`

/** Makes the network unless it is there. */
export async function ensureNetwork(deployment: string): Promise<LocalNetwork> {
  const name = networkName(deployment)
  const gateway = await gatewayOf(name).catch(async (error) => {
    if (!isAbsent(error)) throw error
    await docker(['network', 'create', '--label', `bellows.local=${deployment}`, name]).catch((failed) => {
      if (!/already exists/.test(String(failed))) throw failed
    })
    return gatewayOf(name)
  })
  return { name, gateway }
}

export async function removeNetwork(deployment: string): Promise<void> {
  await docker(['network', 'rm', networkName(deployment)]).catch((error) => {
    if (!isAbsent(error)) throw error
  })
}

async function gatewayOf(name: string): Promise<string> {
  const [network] = JSON.parse(await docker(['network', 'inspect', name])) as [
    { IPAM: { Config: readonly { Gateway?: string; Subnet: string }[] } },
  ]
  for (const { Gateway: gateway } of network.IPAM.Config) if (gateway?.includes('.')) return gateway
  throw new Error(`The Docker network ${name} has no IPv4 gateway`)
}

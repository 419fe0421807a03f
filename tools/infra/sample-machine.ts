/** One attempt's machine, as a worker would order it, without a cloud. */
import { firstBootUserData } from '../../infra/cloud-init.ts'
import { type GpuMachineInputs, gpuMachine } from '../../infra/gpu-vm.ts'
import { machineKeys } from '../../src/cloud/machine-keys.ts'
import { Secret } from '../../src/secret.ts'
import { type Declared, declared, imageId } from './declared.ts'

const name = 'bellows-65f0c0ffee65f0c0ffee65f0-1'

/** What the base would have told the worker. */
const base = {
  vpcId: 'vpc-1',
  subnetId: 'subnet-1',
  securityGroupId: 'sg-1',
  instanceProfile: 'bellows-test-machine',
} as const

export function declaredMachine(change: Partial<GpuMachineInputs> = {}): Promise<readonly Declared[]> {
  const keys = machineKeys(new Secret('a secret of 32 bytes, for a check'), name)
  return declared(() =>
    gpuMachine({
      deployment: 'test',
      name,
      trainingId: '65f0c0ffee65f0c0ffee65f0',
      attempt: 1,
      type: 'g5.xlarge',
      market: 'spot',
      zone: 'us-east-1a',
      ...base,
      imageId,
      diskGb: 50,
      publicKey: keys.loginPublicKey,
      workerNetworks: ['203.0.113.5/32'],
      userData: firstBootUserData({
        hostPrivateKey: keys.hostPrivateKey.reveal(),
        authorizedKey: keys.loginPublicKey,
        lifetimeSeconds: 3_600,
        hardDeadline: new Date('2030-01-01'),
      }),
      ...change,
    }),
  )
}

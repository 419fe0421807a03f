import { createHash } from 'node:crypto'
import { z } from 'zod'
import { ApiError } from '../../ec2/api-error.ts'
import { existing, made } from '../../ec2/caller.ts'
import { kept } from '../resource.ts'
import { tags } from '../schema.ts'
import { arnOf, newId } from './identifier.ts'

export const keyPairType = 'aws:ec2/keyPair:KeyPair'

/** EC2 imports RSA and Ed25519 keys. */
const publicKey = z
  .string()
  .regex(/^ssh-(rsa|ed25519) [A-Za-z0-9+/]+=*( .*)?$/, 'Key is not in valid OpenSSH public key format')

export const keyPair = kept({
  type: keyPairType,
  inputs: z.strictObject({ keyName: z.string().min(1).max(255), publicKey, tags }),
  make({ keyName, publicKey, tags }, { state, caller }) {
    const call = { doing: `importing EC2 Key Pair (${keyName})`, operation: 'ImportKeyPair' }
    caller.demand(call, made('ImportKeyPair', 'key-pair', keyName, tags))
    if (state.resource(keyPairType, keyName)) {
      throw new ApiError(call, 'InvalidKeyPair.Duplicate', `The keypair already exists`)
    }
    const [type = '', key = ''] = publicKey.split(' ')
    return {
      id: keyName,
      outputs: {
        arn: arnOf('ec2', `key-pair/${keyName}`),
        keyPairId: newId('key'),
        keyType: type.replace('ssh-', ''),
        fingerprint: createHash('sha256').update(Buffer.from(key, 'base64')).digest('base64'),
      },
    }
  },
  unmake({ id, inputs }, { caller }) {
    const call = { doing: `deleting EC2 Key Pair (${id})`, operation: 'DeleteKeyPair' }
    caller.demand(call, [existing('DeleteKeyPair', 'key-pair', id, inputs.tags)])
  },
})

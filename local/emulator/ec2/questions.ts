/** What AWS asks of a caller's rights before it does what a request to EC2 wants. */
import type { EmulatorState } from '../provider/cloud.ts'
import { tagsOf } from '../provider/state.ts'
import { keyPairType } from '../provider/types/key-pair.ts'
import { groupType } from '../provider/types/security-group.ts'
import { existing, plain } from './caller.ts'
import type { Question } from './policy.ts'
import type { Query } from './query.ts'

export function questionsOf(query: Query, { instances, state }: EmulatorState): readonly Question[] {
  const { action } = query
  const id = (name: string) => query.text(name) ?? ''
  const instance = (id: string) => existing(action, 'instance', id, instances.find(id)?.tags)
  switch (action) {
    case 'TerminateInstances':
      return query.list('InstanceId').map(instance)
    case 'GetConsoleOutput':
      return [instance(id('InstanceId'))]
    case 'DeleteVolume': {
      const found = instances.list().find(({ volume }) => volume.id === id('VolumeId'))
      return [existing(action, 'volume', id('VolumeId'), found?.volume.tags)]
    }
    case 'DeleteKeyPair': {
      const found = state
        .resources(keyPairType)
        .find((each) => each.id === id('KeyName') || each.outputs.keyPairId === id('KeyPairId'))
      return [existing(action, 'key-pair', found?.id ?? id('KeyName'), tagsOf(found))]
    }
    case 'DeleteSecurityGroup':
      return [
        existing(action, 'security-group', id('GroupId'), tagsOf(state.resource(groupType, id('GroupId')))),
      ]
    default:
      return [plain(action)]
  }
}

import { expect, test } from 'vitest'
import { untilTerminated } from '../../../src/cloud/aws/ec2-resources.ts'
import { memoryEc2 } from '../../fakes/memory-ec2.ts'
import { order } from '../samples.ts'

test('a machine that does not end in time is named, with how long it was waited for', async () => {
  const ec2 = memoryEc2('test')
  const [ended, deaf] = [ec2.launch(order()), ec2.launch(order())]
  ended.state = 'terminated'
  await expect(untilTerminated(ec2.client, [ended.id, deaf.id], 0)).rejects.toMatchObject({
    name: 'TimeoutError',
    message: expect.stringMatching(new RegExp(`${deaf.id} were not seen terminated within 0 s`)),
  })
})

test('machines that have ended, or that EC2 knows no more, are not waited for', async () => {
  const ec2 = memoryEc2('test')
  const ended = ec2.launch(order())
  ended.state = 'terminated'
  await untilTerminated(ec2.client, [ended.id, 'i-0123456789abcdef0'], 0)
})

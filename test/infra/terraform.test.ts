import { expect, test } from 'vitest'
import { terraformJson } from '../../tools/infra/terraform.ts'

const some = { isProtected: false, needs: [] }

test('resources of AWS are Terraform’s, with references, and a shell’s braces are none', () => {
  const resources = [
    { ...some, type: 'aws:ec2/vpc:Vpc', name: 'machines', inputs: { cidrBlock: '10.0.0.0/16' } },
    {
      type: 'aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule',
      name: 'ssh-203.0.113.5-32',
      isProtected: false,
      needs: ['aws:ec2/vpc:Vpc machines', 'cloudflare:index/r2Bucket:R2Bucket x'],
      inputs: { securityGroupId: '{{aws_vpc.machines.id}}', cidrIpv4: 'a', tags: { 'bellows:jobId': '1' } },
    },
    { ...some, type: 'aws:ec2/instance:Instance', name: 'm', inputs: { userData: 'a \u0024{b%.*} %{c}' } },
    { ...some, type: 'cloudflare:index/r2Bucket:R2Bucket', name: 'x', inputs: {} },
  ]
  expect(terraformJson(resources, { vpc: 'aws_vpc.machines.id' })).toEqual({
    resource: {
      aws_vpc: { machines: { cidr_block: '10.0.0.0/16' } },
      aws_vpc_security_group_ingress_rule: {
        'ssh-203_0_113_5-32': {
          security_group_id: '\u0024{aws_vpc.machines.id}',
          cidr_ipv4: 'a',
          tags: { 'bellows:jobId': '1' },
          depends_on: ['aws_vpc.machines'],
        },
      },
      aws_instance: { m: { user_data: 'a \u0024\u0024{b%.*} %%{c}' } },
    },
    output: { vpc: { value: '\u0024{aws_vpc.machines.id}' } },
  })
})

import { expect, test } from 'vitest'
import { parseOutputs, stackSettings } from '../../src/operations/stack-settings.ts'

const outputs = {
  deployment: 'bellows',
  cloudflareAccountId: '0123456789abcdef0123456789abcdef',
  jurisdiction: 'default',
  datasetsBucket: 'datasets',
  modelsBucket: 'loras',
  basesBucket: 'base-models',
  workBucket: 'work',
  stateBucket: 'pulumi-state',
  publicUrl: 'https://models.example.com',
  region: 'eu-central-1',
  vpcId: 'vpc-1',
  subnets: { 'eu-central-1a': 'subnet-1', 'eu-central-1b': 'subnet-2' },
  securityGroupId: 'sg-1',
  imageId: 'ami-1',
  instanceProfile: 'bellows-bellows-machine',
  workerPolicy: 'arn:aws:iam::123456789012:policy/bellows-bellows-worker',
}

test('all that a worker needs to know of the base is a setting', () => {
  expect(stackSettings(parseOutputs(JSON.stringify(outputs)))).toEqual({
    BELLOWS_DEPLOYMENT: 'bellows',
    R2_ACCOUNT_ID: '0123456789abcdef0123456789abcdef',
    R2_JURISDICTION: 'default',
    R2_DATASETS_BUCKET: 'datasets',
    R2_MODELS_BUCKET: 'loras',
    R2_BASES_BUCKET: 'base-models',
    R2_WORK_BUCKET: 'work',
    R2_MODELS_PUBLIC_URL: 'https://models.example.com',
    AWS_REGION: 'eu-central-1',
    BELLOWS_AMI: 'ami-1',
    BELLOWS_VPC: 'vpc-1',
    BELLOWS_SUBNETS: 'eu-central-1a=subnet-1,eu-central-1b=subnet-2',
    BELLOWS_SECURITY_GROUP: 'sg-1',
    BELLOWS_INSTANCE_PROFILE: 'bellows-bellows-machine',
    PULUMI_BACKEND_URL:
      's3://pulumi-state?endpoint=https://0123456789abcdef0123456789abcdef.r2.cloudflarestorage.com&region=auto&s3ForcePathStyle=true',
    PULUMI_BACKEND_R2: 'true',
  })
})

test('the machines’ state is kept in the buckets’ jurisdiction, and models without an address in none', () => {
  const settings = stackSettings(
    parseOutputs(JSON.stringify({ ...outputs, jurisdiction: 'eu', publicUrl: '' })),
  )
  expect(settings.PULUMI_BACKEND_URL).toContain('.eu.r2.cloudflarestorage.com&')
  expect(settings).not.toHaveProperty('R2_MODELS_PUBLIC_URL')
})

test.each([
  ['', 'it is no JSON'],
  ['{}', 'deployment, cloudflareAccountId, .* missing or wrong. Run `pulumi up` first'],
  [JSON.stringify({ ...outputs, vpcId: undefined }), ': vpcId missing or wrong'],
])('%s is refused with a sentence', (text, sentence) => {
  expect(() => parseOutputs(text)).toThrow(new RegExp(sentence))
})

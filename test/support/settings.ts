/** The fewest settings that a worker starts with, as its environment gives them. */
export const fewestSettings: Readonly<Record<string, string>> = {
  MONGODB_URL: 'mongodb://127.0.0.1:1/bellows',
  BELLOWS_SECRET: '0f6e1c9a47d2b8350f6e1c9a47d2b835',
  R2_ACCOUNT_ID: 'a1b2c3',
  R2_ACCESS_KEY_ID: 'key',
  R2_SECRET_ACCESS_KEY: 'its secret',
  BELLOWS_AMI: 'ami-1',
  BELLOWS_VPC: 'vpc-1',
  BELLOWS_SUBNETS: 'us-east-1a=subnet-1',
  BELLOWS_SECURITY_GROUP: 'sg-1',
  BELLOWS_INSTANCE_PROFILE: 'bellows',
  BELLOWS_WORKER_ADDRESSES: '198.51.100.4',
  PULUMI_CONFIG_PASSPHRASE: 'correct horse battery',
}

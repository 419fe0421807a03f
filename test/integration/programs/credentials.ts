/** An inline program that says whose credentials a provider would find: AWS's chain is the same in each of its SDKs. */
import { S3Client } from '@aws-sdk/client-s3'

export async function gpuMachine(): Promise<object> {
  const { accessKeyId } = await new S3Client({ region: 'us-east-1' }).config.credentials()
  return { accessKeyId, message: 'hi' }
}

/** Buckets of the local object store, made and removed as R2's API does. */
import {
  CreateBucketCommand,
  DeleteBucketCommand,
  HeadBucketCommand,
  ListObjectsV2Command,
  type S3Client,
} from '@aws-sdk/client-s3'

export interface Buckets {
  exists(name: string): Promise<boolean>
  create(name: string): Promise<void>
  isEmpty(name: string): Promise<boolean>
  remove(name: string): Promise<void>
}

export function s3Buckets(s3: S3Client): Buckets {
  return {
    async exists(name) {
      try {
        await s3.send(new HeadBucketCommand({ Bucket: name }))
        return true
      } catch (error) {
        if ((error as { $metadata?: { httpStatusCode?: number } }).$metadata?.httpStatusCode === 404)
          return false
        throw error
      }
    },
    async create(name) {
      await s3.send(new CreateBucketCommand({ Bucket: name }))
    },
    async isEmpty(name) {
      const { KeyCount } = await s3.send(new ListObjectsV2Command({ Bucket: name, MaxKeys: 1 }))
      return !KeyCount
    },
    async remove(name) {
      await s3.send(new DeleteBucketCommand({ Bucket: name }))
    },
  }
}

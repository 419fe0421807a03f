/**
 * The emulator as a process of its own. Its first argument is the options as JSON; the store's secret comes
 * from the environment, STORE_SECRET_ACCESS_KEY. Prints one line of JSON once it is ready:
 * `{port, ec2Url, controlUrl, gateway}`. Ends on SIGTERM and SIGINT; machines go on.
 */
import { S3Client } from '@aws-sdk/client-s3'
import { z } from 'zod'
import { startLocalProvider } from './provider.ts'

const options = z
  .strictObject({
    deployment: z.string(),
    stateDirectory: z.string(),
    machineImage: z.string(),
    store: z.strictObject({ endpoint: z.url(), accessKeyId: z.string() }),
    port: z.int().optional(),
    ec2Port: z.int().optional(),
    controlPort: z.int().optional(),
  })
  .parse(JSON.parse(process.argv[2] ?? '{}'))

const { store, port, ec2Port, controlPort, ...rest } = options
const secretAccessKey = z.string().parse(process.env.STORE_SECRET_ACCESS_KEY)
const s3 = new S3Client({
  endpoint: store.endpoint,
  region: 'us-east-1',
  forcePathStyle: true,
  credentials: { accessKeyId: store.accessKeyId, secretAccessKey },
})
const provider = await startLocalProvider({
  ...rest,
  s3,
  ...(port !== undefined && { port }),
  ...(ec2Port !== undefined && { ec2Port }),
  ...(controlPort !== undefined && { controlPort }),
})
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.once(signal, () => {
    void provider.stop().then(() => process.exit(0))
  })
}
const { ec2Url, controlUrl, gateway } = provider
console.log(JSON.stringify({ port: provider.port, ec2Url, controlUrl, gateway }))

/** The worker's settings that follow from what the base has made: `pulumi stack output --json` as settings. */
import { z } from 'zod'
import { jurisdictions, r2Endpoint } from '../../infra/r2-places.ts'

const outputsSchema = z.object({
  deployment: z.string(),
  cloudflareAccountId: z.string(),
  jurisdiction: z.enum(jurisdictions),
  datasetsBucket: z.string(),
  modelsBucket: z.string(),
  basesBucket: z.string(),
  workBucket: z.string(),
  stateBucket: z.string(),
  publicUrl: z.string(),
  region: z.string(),
  vpcId: z.string(),
  subnets: z.record(z.string(), z.string()),
  securityGroupId: z.string(),
  imageId: z.string(),
  instanceProfile: z.string(),
})

export type BaseOutputs = z.infer<typeof outputsSchema>

/** @throws Error with a sentence where the text is not the outputs of a base */
export function parseOutputs(text: string): BaseOutputs {
  const sentence = 'That is not what `pulumi stack output --json` prints for the base'
  let outputs: unknown
  try {
    outputs = JSON.parse(text)
  } catch {
    throw new Error(`${sentence}: it is no JSON.`)
  }
  const parsed = outputsSchema.safeParse(outputs)
  if (parsed.success) return parsed.data
  const names = [...new Set(parsed.error.issues.map(({ path }) => path.join('.') || 'everything'))]
  throw new Error(`${sentence}: ${names.join(', ')} missing or wrong. Run \`pulumi up\` first.`)
}

/** One that is empty, such as a public address that there is not, is left out. */
export function stackSettings(outputs: BaseOutputs): Readonly<Record<string, string>> {
  const { cloudflareAccountId, jurisdiction, stateBucket } = outputs
  const endpoint = r2Endpoint(cloudflareAccountId, jurisdiction)
  const settings = {
    BELLOWS_DEPLOYMENT: outputs.deployment,
    R2_ACCOUNT_ID: cloudflareAccountId,
    R2_JURISDICTION: jurisdiction,
    R2_DATASETS_BUCKET: outputs.datasetsBucket,
    R2_MODELS_BUCKET: outputs.modelsBucket,
    R2_BASES_BUCKET: outputs.basesBucket,
    R2_WORK_BUCKET: outputs.workBucket,
    R2_MODELS_PUBLIC_URL: outputs.publicUrl,
    AWS_REGION: outputs.region,
    BELLOWS_AMI: outputs.imageId,
    BELLOWS_VPC: outputs.vpcId,
    BELLOWS_SUBNETS: Object.entries(outputs.subnets)
      .map(([zone, subnet]) => `${zone}=${subnet}`)
      .join(','),
    BELLOWS_SECURITY_GROUP: outputs.securityGroupId,
    BELLOWS_INSTANCE_PROFILE: outputs.instanceProfile,
    PULUMI_BACKEND_URL: `s3://${stateBucket}?endpoint=${endpoint}&region=auto&s3ForcePathStyle=true`,
    PULUMI_BACKEND_R2: 'true',
  }
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== ''))
}

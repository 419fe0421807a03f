/** What a region reports about the machine image before anything is ordered with it. */
import { DescribeImagesCommand, type EC2Client, type Image } from '@aws-sdk/client-ec2'
import { Failure } from '../../failure.ts'
import { retry } from '../../retry.ts'
import { awsRefusal, isTransientRefusal } from './errors.ts'

type ImageInRegion = { readonly ec2: EC2Client; readonly region: string; readonly imageId: string }

/**
 * The smallest root disk for this image in GB: its snapshot's size, since AWS refuses a disk that the snapshot does not
 * fit on. Failure('misconfigured') where there is no such image.
 */
export async function leastDiskGb(place: ImageInRegion): Promise<number> {
  const { RootDeviceName, BlockDeviceMappings = [] } = await imageOf(place)
  const root = BlockDeviceMappings.find(({ DeviceName }) => DeviceName === RootDeviceName)
  return root?.Ebs?.VolumeSize ?? 0
}

async function imageOf({ ec2, region, imageId }: ImageInRegion): Promise<Image> {
  const ask = () => ec2.send(new DescribeImagesCommand({ ImageIds: [imageId] }))
  const wrong = (why: string, cause?: unknown) =>
    new Failure('misconfigured', `the machine image ${imageId} (BELLOWS_AMI) ${why} in ${region}`, { cause })
  const { Images = [] } = await retry(ask, isTransientRefusal).catch((error) => {
    const code = awsRefusal(error)?.code
    throw code?.startsWith('InvalidAMIID') ? wrong(`does not exist (${code})`, error) : error
  })
  const [image] = Images
  if (!image) throw wrong('does not exist')
  if (image.State !== undefined && image.State !== 'available') throw wrong(`is ${image.State}`)
  return image
}

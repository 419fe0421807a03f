/** Before the tests on real parts: gets what they need, and tells them where it is. */
import { delimiter } from 'node:path'
import { setUp } from '../../tools/toolbox.ts'

export default async function getRealParts(): Promise<void> {
  const toolbox = await setUp()
  process.env.BELLOWS_PULUMI = toolbox.pulumi
  process.env.PATH = [toolbox.languageHost, process.env.PATH].join(delimiter)
  if (toolbox.mongo.url) process.env.MONGODB_URL = toolbox.mongo.url
}

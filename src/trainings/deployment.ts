/**
 * The identity of a deployment: whose runs, slots, alerts and machines these are. It is made once, by the first worker
 * that starts on a database under this name and environment, and kept in the collection `deployments`; a random part makes
 * sure that no other database, even in the same cloud account and with the same name, ever has the same. It is the value of
 * the tag `bellows:deployment` on everything in the cloud, and resources with another value are never judged.
 */
import { randomBytes } from 'node:crypto'
import type { Db, Document } from 'mongodb'
import { durable, ignoringDuplicates, literal } from '../mongo.ts'

type DeploymentDocument = { readonly _id: string; readonly identity: string; readonly madeAt: Date }

/** `environment`: one that claims only jobs of an environment is a deployment of its own. */
export async function deploymentIdentity(
  db: Db,
  name: string,
  environment: string | undefined,
): Promise<string> {
  const deployments = durable<DeploymentDocument>(db, 'deployments')
  const _id = idOf(name, environment)
  const random = `${name}-${randomBytes(4).toString('hex')}`
  const fresh = (await deployments.findOne({ _id })) ? random : (await hasOldRuns(db)) ? name : random
  await ignoringDuplicates(
    deployments.updateOne(
      { _id },
      [
        {
          $set: {
            identity: { $ifNull: ['$identity', literal(fresh)] },
            madeAt: { $ifNull: ['$madeAt', '$$NOW'] },
          },
        },
      ],
      { upsert: true },
    ),
  )
  // Of several that start at once one has made it: the others' writes may have met its own.
  const made = await deployments.findOne({ _id })
  if (!made) throw new Error(`The identity of the deployment "${_id}" could not be made.`)
  if (made.identity === name) await adopt(db, name)
  return made.identity
}

/** @throws Error that names those that there are, where no worker has ever started under this name and environment */
export async function knownDeployment(
  db: Db,
  name: string,
  environment: string | undefined,
): Promise<string> {
  const deployments = durable<DeploymentDocument>(db, 'deployments')
  const _id = idOf(name, environment)
  const found = await deployments.findOne({ _id })
  if (found) return found.identity
  const known = (await deployments.find().sort({ _id: 1 }).toArray()).map((each) => each._id)
  const others =
    known.length > 0 ? `There are: ${known.join(', ')}` : 'There is none: no worker has started yet'
  throw new Error(
    `No deployment "${_id}" is known in this database (BELLOWS_DEPLOYMENT, BELLOWS_ENVIRONMENT). ${others}.`,
  )
}

const idOf = (name: string, environment: string | undefined): string =>
  environment ? `${name}/${environment}` : name

const ofNobody = { deployment: { $exists: false } } as Document

/** Of a release that knew no deployments: they and their machines, which carry the plain name, stay with the first that starts. */
async function hasOldRuns(db: Db): Promise<boolean> {
  return (await durable(db, 'trainingRuns').findOne(ofNobody, { projection: { _id: 1 } })) !== null
}

async function adopt(db: Db, deployment: string): Promise<void> {
  const attempts = { $map: { input: '$attempts', in: { $mergeObjects: [{ run: 1 }, '$$this'] } } }
  await durable(db, 'trainingRuns').updateMany(ofNobody, [
    { $set: { deployment: literal(deployment), number: 1, attempts } },
  ])
}

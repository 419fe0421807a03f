import { expect, test } from 'vitest'
import { fileNames } from '../../src/pipeline/training/file-names.ts'
import { trainingId } from '../cloud/samples.ts'
import { openTestJob } from './open-job.ts'

const said = 'Clip 00002.mp4 is too short; image 00001.png is animated; 00003.jpg and 200001.png are nobody.'

/** As a dataset of these files is noted once it is prepared. */
function noted(...names: readonly string[]): string {
  const ref = { bucket: 'work', key: `jobs/${trainingId}/dataset.tar` }
  const counts = { size: 1024, images: names.length, clips: 0, captions: names.map(() => '') }
  return JSON.stringify({ ref, ...counts, sha256: '0'.repeat(64), warnings: [], names })
}

test('a trainer says numbers, and its owner reads the names of the files', async () => {
  const { job, store } = await openTestJob()
  const ref = { bucket: 'work', key: `jobs/${trainingId}/dataset.json` } as const
  await store.write(ref, noted('kite.gif', '$& beach.mov'), 'application/json')
  expect((await fileNames(job))(said)).toBe(
    'Clip $& beach.mov is too short; image kite.gif is animated; 00003.jpg and 200001.png are nobody.',
  )
})

test('the names in a dataset of somebody else are not told', async () => {
  const terms = {
    ownerAccountId: 'a',
    creatorAccountId: 'b',
    datasetId: 'd',
    offeringId: 'o',
    pricePoints: 1,
  }
  const { job, store } = await openTestJob({ run: { terms } })
  const ref = { bucket: 'work', key: `jobs/${trainingId}/dataset.json` } as const
  await store.write(ref, noted('kite.gif', 'beach.mov'), 'application/json')
  expect((await fileNames(job))(said)).toBe(said)
})

test('where the names were lost, the numbers stay', async () => {
  const { job } = await openTestJob()
  expect((await fileNames(job))(said)).toBe(said)
})

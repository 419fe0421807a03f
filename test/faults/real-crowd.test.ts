/**
 * Two real workers on one cloud, and more jobs than they can run at once. One of them is killed in the middle of it
 * all and started again. `FAULTS_JOBS` says how many jobs; `npm run faults -- --real` takes 50.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Deployment, startDeployment } from './deployment.ts'
import { measured } from './figures.ts'
import { verdictOn } from './real-promises.ts'
import type { Event } from './room.ts'

const jobs = Number(process.env.FAULTS_JOBS ?? 4)
const minute = 60_000
let deployment: Deployment

beforeAll(async () => {
  deployment = await startDeployment({ BELLOWS_CONCURRENCY: '2', BELLOWS_PULUMI_CONCURRENCY: '1' })
})

afterAll(() => deployment?.stop(), 2 * minute)

test(`two workers fight for ${jobs} jobs, one is killed and returns: each job is done and paid for once`, {
  timeout: minute + jobs * minute,
}, async ({ task }) => {
  const began = Date.now()
  const ids = await Promise.all(Array.from({ length: jobs }, () => deployment.insertJob({ steps: 150 })))
  const one = deployment.startWorker('one')
  deployment.startWorker('other')
  const done = Promise.all(ids.map((id) => deployment.next((event) => ended(event) && event.job === id)))

  // In the middle: of many jobs some have ended, and the one that dies is at work on others.
  for (let left = Math.floor(jobs / 10) * 3; left > 0; left--) await deployment.next(ended)
  await one.next((event) => event.event === 'step')
  await one.kill()
  const killedAt = Date.now()
  deployment.startWorker('one')
  await done
  const seconds = (Date.now() - began) / 1000
  await deployment.stopWorkers()

  const { broken, figures } = await verdictOn(deployment, ids)
  const takenUp = deployment.events.filter(
    ({ heardAt, msg }) => heardAt > killedAt && msg?.startsWith('taken up by'),
  )
  const resumeSeconds = Math.max(0, ...takenUp.map(({ heardAt }) => (heardAt - killedAt) / 1000))
  console.log(
    `${jobs} jobs in ${seconds.toFixed(0)} s, ${(seconds / jobs).toFixed(1)} s a job; ` +
      `${takenUp.length} taken up again, the last ${resumeSeconds.toFixed(1)} s after the kill`,
  )
  measured(task, { ...figures, crashPoints: 1, crashesSurvived: broken.length === 0 ? 1 : 0, resumeSeconds })
  expect(broken).toEqual([])
  expect(await models()).toBe(jobs)
  expect(takenUp.length).toBeGreaterThan(0)
  for (const id of ids)
    expect(await deployment.document(id)).toMatchObject({ status: 'COMPLETED', progress: 100 })
})

const ended = (event: Event) => event.event === 'released' && event.data?.ended === true

const models = () => deployment.db.collection('loraModels').countDocuments()

/** Faults over HTTP, for other processes: POST a fault, or what happens to an instance. */
import { Hono } from 'hono'
import { z } from 'zod'
import type { EmulatorState } from './cloud.ts'
import { faultSchema } from './faults.ts'

export function controlApi({ faults, instances }: EmulatorState): Hono {
  const api = new Hono()
  api.onError((error, context) => {
    const detail = error instanceof z.ZodError ? z.prettifyError(error) : error.message
    return context.json({ error: detail }, 400)
  })

  api.get('/faults', (context) => context.json(faults.list()))
  api.post('/faults', async (context) => {
    const id = faults.stage(faultSchema.parse(await context.req.json()))
    return context.json({ id }, 201)
  })
  api.delete('/faults', (context) => {
    faults.clear()
    return context.body(null, 204)
  })
  api.delete('/faults/:id', (context) => {
    faults.clear(context.req.param('id'))
    return context.body(null, 204)
  })

  api.get('/instances', (context) =>
    context.json(instances.list().map(({ inputs: _, ...instance }) => instance)),
  )
  api.post('/instances/:id/spot-notice', async (context) => {
    const { seconds } = z
      .object({ seconds: z.number().positive().default(120) })
      .parse(await context.req.json())
    await instances.giveSpotNotice(context.req.param('id'), seconds)
    return context.body(null, 204)
  })
  api.post('/instances/:id/network', async (context) => {
    const { reachable } = z.object({ reachable: z.boolean() }).parse(await context.req.json())
    await instances.setReachable(context.req.param('id'), reachable)
    return context.body(null, 204)
  })
  api.post('/instances/:id/kill', async (context) => {
    await instances.kill(context.req.param('id'))
    return context.body(null, 204)
  })
  return api
}

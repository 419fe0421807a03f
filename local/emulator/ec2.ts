/**
 * The slice of the EC2 API that the offers and the reaper use, over HTTP as AWS's SDK speaks it: a form with
 * an `Action`, an answer in XML. Signatures are not checked: it listens on loopback only.
 */
import { randomUUID } from 'node:crypto'
import { Hono } from 'hono'
import { actions } from './ec2/actions.ts'
import { ApiError } from './ec2/api-error.ts'
import { worker } from './ec2/caller.ts'
import { Query } from './ec2/query.ts'
import { questionsOf } from './ec2/questions.ts'
import { element, type Xml } from './ec2/xml.ts'
import { listen } from './listen.ts'
import type { EmulatorState } from './provider/cloud.ts'

const version = '2016-11-15'

export function startEc2(
  cloud: EmulatorState,
  port?: number,
): Promise<{ url: string; stop(): Promise<void> }> {
  const api = new Hono()
  api.post('/', async (context) => {
    const requestId = randomUUID()
    const query = new Query(new URLSearchParams(await context.req.text()))
    const reply = (body: string, status = 200) =>
      new Response(`<?xml version="1.0" encoding="UTF-8"?>\n${body}`, {
        status,
        headers: { 'content-type': 'text/xml;charset=UTF-8' },
      })
    try {
      const result = (await answer(query, cloud)) as object
      const content = element(`${query.action}Response`, { requestId, ...result } as Xml)
      const namespace = `xmlns="http://ec2.amazonaws.com/doc/${version}/"`
      return reply(content.replace('Response>', `Response ${namespace}>`))
    } catch (error) {
      const refused = error instanceof ApiError
      const { code, detail, status } = refused
        ? error
        : { code: 'InternalError', detail: `An internal error has occurred: ${error}`, status: 500 }
      return reply(
        element('Response', { Errors: { Error: { Code: code, Message: detail } }, RequestID: requestId }),
        status,
      )
    }
  })
  return listen(api, port)
}

function answer(query: Query, cloud: EmulatorState): Xml | Promise<Xml> {
  if (query.text('Version') !== version) {
    throw query.refusal(
      'NoSuchVersion',
      `The requested version (${query.text('Version')}) of service AmazonEC2 does not exist`,
    )
  }
  const action = actions[query.action]
  if (!action) {
    throw query.refusal('InvalidAction', `The action ${query.action} is not valid for this web service.`)
  }
  worker(cloud.state).demand({ doing: query.action, operation: query.action }, questionsOf(query, cloud))
  return action(query, cloud)
}

import { html, raw } from 'hono/html'
import { type Hold, phases } from '../trainings/runs.ts'
import type { TrainingResult } from '../trainings/trainings.ts'
import { type JobStatus, type Overview, type RunSummary, reachedPhases } from './status.ts'

const style = raw(`
  :root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 15%, transparent); --accent: #d9541e }
  body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem }
  h1 { font-size: 1.4rem } h1 a { color: inherit; text-decoration: none }
  table { border-collapse: collapse; width: 100% } th { text-align: left; font-weight: 600 }
  td, th { padding: .35rem .8rem .35rem 0; border-bottom: 1px solid var(--line); vertical-align: top }
  .figures { display: flex; gap: 2.5rem; flex-wrap: wrap; margin: 1rem 0 2rem }
  .figures b { display: block; font-size: 1.5rem } .number { text-align: right; font-variant-numeric: tabular-nums }
  .way { display: flex; gap: .3rem; flex-wrap: wrap } .way span { padding: .1rem .6rem; border-radius: 1rem; border: 1px solid var(--line); opacity: .5 }
  .way .done { background: var(--accent); color: #fff; opacity: 1 } progress { accent-color: var(--accent); width: 8rem }
  code { font-size: .9em }
`)

/** Held jobs that are listed; of more, only the number is told. */
const mostHeld = 20

export function overviewPage(overview: Overview) {
  const { worker, counts, spending, budget, runs } = overview
  const { spent, reserved } = spending
  return page(
    'Bellows',
    html`<div class="figures">
        ${figure('queued', counts.QUEUED)} ${figure('running', counts.RUNNING)} ${figure('completed', counts.COMPLETED)}
        ${figure('failed', counts.FAILED)}
        ${figure(`spent of $${budget.dayUsd} today, and ${usd(reserved.dayUsd)} reserved`, usd(spent.dayUsd))}
        ${figure(`spent of $${budget.monthUsd} this month, and ${usd(reserved.monthUsd)} reserved`, usd(spent.monthUsd))}
      </div>
      ${notices(overview)}
      <table>
        <tr><th>Training</th><th>Model</th><th>Phase</th><th>Steps</th><th>Machine</th><th class="number">Cost</th><th>Ending</th></tr>
        ${runs.map(row)}
      </table>
      ${runs.length === 0 ? html`<p>No training yet: insert one into <code>trainingJobs</code>.</p>` : ''}
      <p>Worker ${worker}</p>`,
  )
}

/** What keeps jobs in the queue. */
function notices({ paused, held, notUnderstood }: Overview) {
  const more = held.length - mostHeld
  return html`${paused ? html`<p><b>No new job is claimed</b> since ${time(paused.since)}: ${paused.by}</p>` : ''}
      ${held.slice(0, mostHeld).map((hold) => html`<p><a href="/jobs/${hold.id}"><code>${hold.id}</code></a> ${heldUntil(hold)}</p>`)}
      ${more > 0 ? html`<p>… and ${more} more that are held</p>` : ''}
      ${notUnderstood.count > 0 ? html`<p><b>Documents that are not understood</b> and left alone (${notUnderstood.count}): ${notUnderstood.examples.join('; ')}</p>` : ''}`
}

function heldUntil({ reason, until }: Hold): string {
  return `Held: ${reason}, next try at ${time(until)}`
}

function time(at: Date): string {
  return `${at.toISOString().slice(0, 16).replace('T', ' ')} UTC`
}

function usd(amount: number): string {
  return `$${amount.toFixed(2)}`
}

function phaseOf({ phase, state, worker }: RunSummary): string {
  if (state === 'waiting') return `${phase} (waiting for a worker)`
  if (state === 'held') return `${phase} (held)`
  return worker ? `${phase} (on ${worker})` : phase
}

function row(run: RunSummary) {
  return html`<tr>
    <td><a href="/jobs/${run.id}"><code>${run.id}</code></a></td>
    <td>${run.model}</td>
    <td>${phaseOf(run)}</td>
    <td><progress max="${run.steps || 1}" value="${run.step}"></progress> ${run.step}/${run.steps}</td>
    <td>${run.machine}</td>
    <td class="number">$${run.costUsd.toFixed(4)}</td>
    <td>${run.ending}</td>
  </tr>`
}

export function jobPage({ run, events }: JobStatus) {
  const reached = reachedPhases(run)
  return page(
    `Training ${run.id}`,
    html`<p class="way">
        ${phases.map((phase) => html`<span class="${reached.includes(phase) ? 'done' : ''}">${phase}</span>`)}
      </p>
      ${run.outcome ? html`<p><b>${run.outcome.ending}</b> ${run.outcome.sentence}</p>` : ''}
      ${run.hold && !run.endedAt ? html`<p>${heldUntil(run.hold)}</p>` : ''}
      ${run.outcome?.result ? filesOf(run.id, run.outcome.result) : ''}
      <table>
        <tr><th>Time (UTC)</th><th>What</th><th></th></tr>
        ${events.map(
          ({ at, kind, message }) =>
            html`<tr><td><code>${at.toISOString().slice(11, 19)}</code></td><td>${kind}</td><td>${message}</td></tr>`,
        )}
      </table>`,
  )
}

/** By this server, which makes a link to the file when it is followed. */
function filesOf(id: string, { modelRepoUrl, previewImages }: TrainingResult) {
  const path = `/jobs/${encodeURIComponent(id)}`
  const link = (to: string, address: string) => html`<a href="${to}">${address.split('/').at(-1)}</a> `
  return html`<p>
    Model: ${link(`${path}/model`, modelRepoUrl)}
    ${previewImages.length > 0 ? 'Samples: ' : ''}${previewImages.map((address, index) => link(`${path}/samples/${index + 1}`, address))}
  </p>`
}

function figure(name: string, value: number | string) {
  return html`<span><b>${value}</b>${name}</span>`
}

function page(title: string, content: ReturnType<typeof html>) {
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width" />
        <meta http-equiv="refresh" content="3" />
        <title>${title}</title>
        <style>${style}</style>
      </head>
      <body>
        <h1><a href="/">Bellows</a>${title === 'Bellows' ? '' : ` / ${title}`}</h1>
        ${content}
      </body>
    </html>`
}

/** The words that were given up for those of docs/architecture.md's glossary stay away. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { execaSync } from 'execa'
import { expect, test } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))

/** Decisions and the changelog tell of the past, recorded runs are from it, and this file has to name them. */
const exempt =
  /^(?:docs\/decisions\/|CHANGELOG\.md|package-lock\.json|test\/fixtures\/|test\/words\.test\.ts)/

const givenUp: Readonly<Record<string, RegExp>> = {
  'runAttempts, handleFailure, applyOutcome, outcomeOf, releaseLease':
    /\b(?:onSomeMachine|whatNext|carryOut|letGo)\b/,
  slots: /\b(?:mongoPlaces|freePlace|mongo-places)\b/,
  'overrides, --set': /\b(?:wishes|Wishes|Wished|misspelt wish|wish-limits)\b|--wish\b/,
  Manifest: /\b(?:Shipped|findShipped)\b/,
  'WorkerDraining, run-node.js': /\b(?:HandOver|hand-over)\b/,
  'isExcluded, Requirements': /\b(?:isSpoiled|Need)\b(?= *[,;({}]|\()/,
  'resources, CloudResource, deleteResource': /\b(?:removeThing|tagged\.ts)\b/,
  'emulator, injectFault, matchFault': /\bstand-?ins?\b|\b(?:standIn|troubled|faults\.strike)\b/i,
  'fallbacks.ts, tasks.ts, multipart.ts, dev-environment.ts':
    /\b(?:ways\.ts|setup\/parts\.ts|storage\/parts\.ts|[tT]oolbox)\b/,
  'heartbeat, finishedEarly, completedOnFirstAttempt, submitJob': /\b(?:stayPresent|trainedInOneGo)\b/,
  'must, will': /\bshall\b/i,
}

/** Tests have people as data. */
const people = /\b(?:nobody|whoever|somebody)\b/i

const files = execaSync('git', ['ls-files'], { cwd: root })
  .stdout.split('\n')
  .filter((file) => /\.(?:ts|js|py|md|json|sh|ya?ml)$/.test(file) && !exempt.test(file))

test.each(Object.entries(givenUp))('the words are %s', (_, old) => {
  expect(linesWith(old, files)).toEqual([])
})

test('the subjects of sentences are components', () => {
  const withoutTests = files.filter((file) => !file.startsWith('test/'))
  expect(linesWith(people, withoutTests)).toEqual([])
})

function linesWith(words: RegExp, among: readonly string[]): readonly string[] {
  return among.flatMap((file) =>
    readFileSync(join(root, file), 'utf8')
      .split('\n')
      .flatMap((line, index) => (words.test(line) ? [`${file}:${index + 1}: ${line.trim()}`] : [])),
  )
}

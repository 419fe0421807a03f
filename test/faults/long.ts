/** Whether those tests run too that take longest: `npm run faults` sets FAULTS_LONG, `npm test` has no time for them. */
export const long = process.env.FAULTS_LONG === 'true'

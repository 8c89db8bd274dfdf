/** What the campaigns have in common: seeded rounds that end at the first promise that does not hold. */
import { parseArgs } from 'node:util'

export type CampaignOptions = {
  readonly rounds: number
  readonly seed: number
  readonly say: (line: string) => void
}

/** mulberry32: small, seeded, good enough to choose moments. */
export const randomOf = (seed: number): (() => number) => {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

export const must = (condition: boolean, what: string): void => {
  if (!condition) throw new Error(`the campaign failed: ${what}`)
}

type OwnOptions = NonNullable<Parameters<typeof parseArgs>[0]>['options']

/** Runs a campaign as `--rounds`, `--seed` and options of its own say, and prints its totals as one line of JSON. */
export const runFromCommandLine = async (
  campaign: (options: CampaignOptions, own: Readonly<Record<string, unknown>>) => Promise<object>,
  own: OwnOptions = {},
): Promise<void> => {
  const { values } = parseArgs({
    options: { rounds: { type: 'string', default: '50' }, seed: { type: 'string', default: '1' }, ...own },
  })
  const seed = Number(values.seed)
  const say = (line: string): void => void process.stdout.write(`${line}\n`)
  const totals = await campaign({ rounds: Number(values.rounds), seed, say }, values)
  say(JSON.stringify({ seed, ...totals }))
}

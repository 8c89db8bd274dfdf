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

/** Runs a campaign as `--rounds`, `--seed` and flags of its own say, and prints its totals as one line of JSON. */
export const runFromCommandLine = async <F extends string>(
  campaign: (options: CampaignOptions & { readonly [K in F]?: boolean }) => Promise<object>,
  ...flags: readonly F[]
): Promise<void> => {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '50' },
      seed: { type: 'string', default: '1' },
      ...Object.fromEntries(flags.map((flag) => [flag, { type: 'boolean', default: false } as const])),
    },
  })
  const own = Object.fromEntries(flags.map((flag) => [flag, (values as Readonly<Record<string, unknown>>)[flag] === true])) as { [K in F]: boolean }
  const seed = Number(values.seed)
  const say = (line: string): void => void process.stdout.write(`${line}\n`)
  const totals = await campaign({ rounds: Number(values.rounds), seed, say, ...own })
  say(JSON.stringify({ seed, ...totals }))
}

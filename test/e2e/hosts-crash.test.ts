import { expect, it } from 'vitest'
import { runHostsCampaign } from './hosts-campaign.ts'

/** Each of the three dies once in its first three rounds. */
const SEED = 3

it('a daemon, its cosigner and a sidecar, each killed once: nothing wedges, nothing is used twice', { timeout: 170_000 }, async () => {
  const lines: string[] = []
  const totals = await runHostsCampaign({ rounds: 3, seed: SEED, say: (line) => void lines.push(line) })
  expect(totals.kills).toEqual({ daemon: 1, cosigner: 1, sidecar: 1 })
  expect([totals.signed > 0, totals.delegatedSigned > 0, totals.delegations > 0]).toEqual([true, true, true])
})

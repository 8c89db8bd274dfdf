import { expect, it } from 'vitest'
import { runHostsCampaign } from './hosts-campaign.ts'
import { planRounds } from './hosts-plan.ts'

it('a daemon, its cosigner and a sidecar, each killed once: nothing wedges, nothing is used twice', { timeout: 300_000 }, async () => {
  const lines: string[] = []
  const totals = await runHostsCampaign({ rounds: 1, seed: 3, say: (line) => void lines.push(line) })
  expect(totals.kills).toEqual({ daemon: 1, cosigner: 1, sidecar: 1 })
  expect([totals.signed, totals.delegatedSigned, totals.delegations, totals.revocations].map((count) => count > 0)).toEqual([true, true, true, true])
})

it('plans the same deaths for the same seed, as many of each, and cuts only where there are cables', () => {
  const plan = planRounds({ kills: 40, seed: 7, hasCables: true })
  expect(planRounds({ kills: 40, seed: 7, hasCables: true })).toEqual(plan)
  for (const host of ['daemon', 'cosigner', 'sidecar']) expect(plan.filter(({ victim }) => victim === host)).toHaveLength(40)
  expect(plan.filter(({ cut }) => cut !== undefined).length).toBeGreaterThan(20)
  expect(planRounds({ kills: 40, seed: 7, hasCables: false }).every(({ cut }) => cut === undefined)).toBe(true)
})

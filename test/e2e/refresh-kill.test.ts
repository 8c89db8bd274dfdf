import { expect, it } from 'vitest'
import { runRefreshCampaign } from './refresh-campaign.ts'

/** The short form of `npm run campaign:refresh`. */
it('kill -9 in a loop of refreshes: no key is lost, no answered refresh either', async () => {
  const lines: string[] = []
  const totals = await runRefreshCampaign({ rounds: 4, seed: 7, say: (line) => void lines.push(line) })
  expect(totals.rounds).toBe(4)
  expect(totals.refreshed, lines.join('\n')).toBeGreaterThan(3)
  expect(totals.repeated, lines.join('\n')).toBeGreaterThan(0)
}, 120_000)

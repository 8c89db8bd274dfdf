import { expect, it } from 'vitest'
import { runKillCampaign } from './kill-campaign.ts'

/** The short form of `npm run campaign:kill`. */
it('kill -9 under load loses nothing that was answered, and no presignature serves twice', async () => {
  const lines: string[] = []
  const totals = await runKillCampaign({ rounds: 3, seed: 20, say: (line) => void lines.push(line) })
  expect(totals.rounds).toBe(3)
  expect(totals.signed, lines.join('\n')).toBeGreaterThan(10)
  expect(totals.repeated, lines.join('\n')).toBeGreaterThan(0)
})

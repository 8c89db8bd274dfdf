/** The journeys of examples/spending.ts and examples/spending-solana.ts, as they are printed. */
import { expect, it } from 'vitest'
import { runExample } from './run-example.ts'

it('token, approval, message, completion, list, priority, spend, taken back, refused', async () => {
  const { code, text } = await runExample('examples/spending.ts')
  expect(code, text).toBe(0)
  for (const line of ['60.5 usdc from savings: settled', 'allowance 139.5', 'spend refused    SPEND_REVOKED', 'what the owners took back is spent no more'])
    expect(text).toContain(line)
})

it('the same on Solana', async () => {
  const { code, text } = await runExample('examples/spending-solana.ts')
  expect(code, text).toBe(0)
  for (const line of ['12.5 USDC, settled', 'shop has         12500000 units', 'allowance left   37.5 USDC', 'spends 40        SPEND_NOT_COVERED', 'revoked', 'spends 1         SPEND_REVOKED'])
    expect(text).toContain(line)
})

/** The journey of examples/spending.ts, as it is printed. */
import { spawn } from 'node:child_process'
import { join, resolve } from 'node:path'
import { expect, it } from 'vitest'

const root = resolve(import.meta.dirname, '../..')

it('token, approval, message, completion, list, priority, spend, taken back, refused', async () => {
  const child = spawn(process.execPath, [join(root, 'examples/spending.ts')], { cwd: root, env: { ...process.env, NODE_OPTIONS: '' } })
  let text = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (text += chunk.toString()))
  const code = await new Promise<number | null>((done) => child.once('close', done))
  expect(code, text).toBe(0)
  for (const line of ['60.5 usdc from savings: settled', 'allowance 139.5', 'spend refused    SPEND_REVOKED', 'what the owners took back is spent no more'])
    expect(text).toContain(line)
}, 60_000)

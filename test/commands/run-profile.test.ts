import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { runProfile } from '../../src/commands/run-profile.ts'
import { expectedSignature, readVectors } from '../payload/profile/exchange-vectors.ts'

const root = join(import.meta.dirname, '../..')
const file = (value: unknown) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value), 'utf8')
const KEY = `0x${'02'.repeat(32)}`
const CANCEL = { action: { type: 'cancel', cancels: [{ a: 4, o: 77738308 }] }, nonce: 1790000000000 }

describe('npm run profile', () => {
  const signed = readVectors('hyperliquid').filter(({ kind, input }) => kind === 'l1-sig' && input.action.type !== 'dummy')

  it.each(signed)('takes a vector as it is: $name', (vector) => {
    expect(runProfile('hyperliquid', vector.input.action.type, file(vector))).toMatchObject({
      profile: 'hyperliquid',
      digest: vector.digest,
      signature: expectedSignature(vector),
      signatures: [{ signer: 'session', scheme: 'eip712', digest: vector.digest }],
      request: { method: 'POST', path: '/exchange' },
    })
  })

  it('signs a registration as the wallet, and keeps what is to be kept', () => {
    const result = runProfile('derivadex', 'register', file({
      network: 'sepolia',
      privateKey: KEY,
      sessionPublicKey: '0x024d4b6cd1361032ca9bd2aeb9d900aa4d45d9ead80ac9423374c451a7254d0766',
      expireTimeMs: 1800000000000,
      scopes: ['order', 'cancel_order'],
    }))
    expect(result).toMatchObject({
      digest: '0x6652a52b9a201792f3a5b9ed9e5980b6341351bbb2aace042610c702aa082e90',
      request: null,
      keep: { payload: expect.stringMatching(/^0x02[0-9a-f]{218}$/) as string },
    })
  })

  it('prints what would be signed when there is no key', () => {
    const result = runProfile('hyperliquid', 'cancel_order', file(CANCEL))
    expect(result).toMatchObject({ network: 'mainnet', signatures: [{ signedBytes: expect.stringMatching(/^0x1901[0-9a-f]{128}$/) as string }] })
    expect(result).not.toHaveProperty('request')
  })

  it.each([
    ['a number beyond 2^53', '{"action":{"type":"cancel","cancels":[{"a":4,"o":9007199254740993}]},"nonce":1}', 'is beyond 2^53'],
    ['a doubled member', '{"nonce":1,"nonce":2}', 'duplicate key'],
    ['an unknown member', { ...CANCEL, vault: 'x' }, 'unknown member vault'],
    ['an unknown parameter', { ...CANCEL, parameters: { canWithdraw: true } }, 'canWithdraw'],
    ['another flow than the action has', { ...CANCEL, action: { type: 'scheduleCancel' } }, 'is of the family cancel_all'],
    ['a short key', { ...CANCEL, privateKey: '0x02' }, 'is not 32 bytes of hex'],
    ['a nonce that is none', { ...CANCEL, nonce: -1 }, 'is not an unsigned integer'],
    ['a list', '[]', 'is not a JSON object'],
  ])('refuses %s', (_, input, why) => {
    expect(() => runProfile('hyperliquid', 'cancel_order', file(input))).toThrow(why)
  })

  it('is a command: JSON on stdout, one line on stderr, an exit code', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'profile-'))
    const path = join(folder, 'input.json')
    await writeFile(path, file({ ...CANCEL, privateKey: KEY }))
    const run = (...argv: string[]) => promisify(execFile)(process.execPath, ['src/commands/run-profile.ts', ...argv], { cwd: root })
    const { stdout } = await run('hyperliquid', 'cancel', path)
    expect(JSON.parse(stdout)).toMatchObject({ profile: 'hyperliquid', signature: expect.stringMatching(/^0x/) as string })
    await expect(run('nowhere', 'cancel', path)).rejects.toMatchObject({ code: 1, stderr: expect.stringContaining('PROFILE_NOT_FOUND') as string })
    await expect(run('hyperliquid')).rejects.toMatchObject({ code: 2 })
    await rm(folder, { recursive: true })
  })
})

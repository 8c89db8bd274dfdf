/** Profiles of the operator's own: offered by the daemon in the place of the built-in ones, and signed by. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { SessionScope } from '../../gen/countersign/v1/session_key_pb.ts'
import type { CountersignClient } from '../../src/client/countersign-client.ts'
import { DERIVADEX } from '../../src/payload/profile/venues/derivadex.ts'
import { connect, newWallet } from '../e2e/callers.ts'
import { startDaemon, type TestDaemon } from '../e2e/start-daemon.ts'
import { createKey } from './session-daemon.ts'

vi.setConfig({ testTimeout: 60_000, hookTimeout: 120_000 })

const folder = mkdtempSync(join(tmpdir(), 'own-profiles-'))
let daemon: TestDaemon
let client: CountersignClient

/** The same venue with another struct and other bytes of the delegated payload. */
const { register } = DERIVADEX.flows
const OTHER_CODEC = {
  ...DERIVADEX,
  version: 7,
  flows: {
    ...DERIVADEX.flows,
    register: {
      ...register,
      sign: [
        {
          ...register?.sign[0],
          types: { Delegation: 'bytes key,uint32 until' },
          primaryType: 'Delegation',
          message: { key: '$session.publicKey', until: ['@div', '$expireMs', 1000] },
        },
      ],
      keep: { payload: ['@cat', '0xff', '$sig.bytes', '$session.publicKey'] },
    },
  },
  payload: [{ constant: '0xff' }, { name: 'walletSignature', bytes: 65 }, { name: 'sessionPublicKey', bytes: 33 }],
  selfTest: DERIVADEX.selfTest.slice(0, 1),
}

beforeAll(async () => {
  writeFileSync(join(folder, 'derivadex.json'), JSON.stringify(OTHER_CODEC))
  writeFileSync(join(folder, 'hyperliquid.json'), '{}')
  daemon = await startDaemon({ args: ['--profiles-directory', folder] })
  client = connect(daemon, daemon.adminKey)
})
afterAll(async () => {
  client.close()
  await daemon[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true })
})

it('stand in the place of the built-in ones, and a broken one leaves its place empty', async () => {
  const { profiles } = await client.sessionKeys.listProfiles({})
  expect(profiles.find(({ profile }) => profile === 'derivadex')).toMatchObject({ version: 7 })
  expect(profiles.map(({ profile }) => profile)).toContain('orderly')
  expect(profiles.map(({ profile }) => profile)).not.toContain('hyperliquid')
  expect(daemon.output()).toContain('hyperliquid is not offered')
})

it('make the payload that they describe', async () => {
  const wallet = await newWallet(client)
  const { delegatedPayload } = await createKey(client, {
    wallet: wallet.walletId,
    profile: 'derivadex',
    network: 'sepolia',
    scopes: [SessionScope.ORDER],
  })
  expect(delegatedPayload).toHaveLength(1 + 65 + 33)
  expect(delegatedPayload[0]).toBe(0xff)
})

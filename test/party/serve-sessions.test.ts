import { describe, expect, it } from 'vitest'
import { makeLinkParties } from '../../src/engine/dkls23/contexts.ts'
import { NO_SID } from '../../src/engine/dkls23/frame.ts'
import { SessionServer } from '../../src/party/serve-sessions.ts'
import type { FromWorker, SessionCall } from '../../src/party/session-calls.ts'
import { entropy, sha256 } from './two-parties.ts'

const parties = makeLinkParties(sha256(Buffer.from('party C')), sha256(Buffer.from('party S')), 0)
const SLOT_BYTES = 150

describe('the inside of a crypto worker', () => {
  it.each(['startPresignC', 'startPresignS'] as const)(
    '%s over material that was overwritten meanwhile leaves no share behind',
    async (op) => {
      const said: FromWorker[] = []
      const server = new SessionServer(parties, entropy, 1, (message) => said.push(message))
      const slots = new Uint8Array(2 * SLOT_BYTES).fill(7)
      const message = { sid: NO_SID, body: new Uint8Array(106) }
      const call: SessionCall = op === 'startPresignC' ? { op, material: 9, slots } : { op, material: 9, slots, message }
      await server.receive({ id: 1, call })
      expect(said).toMatchObject([{ id: 1, fault: { faultClass: 'A', codeName: 'session' } }])
      for (const at of [0, SLOT_BYTES]) {
        expect(slots.subarray(at + SLOT_BYTES - 32, at + SLOT_BYTES)).toEqual(new Uint8Array(32))
      }
    },
  )
})

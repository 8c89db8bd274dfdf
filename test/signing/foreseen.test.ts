/** What is read of a request before it is asked for: of exactly this request, once, and of no other wallet's. */
import { describe, expect, it } from 'vitest'
import { encodeFrame, FRAME_TYPES, NO_SID } from '../../src/engine/dkls23/frame.ts'
import { encodeSignRequest } from '../../src/engine/dkls23/sign-messages.ts'
import { ROLE_C } from '../../src/engine/dkls23/suite.ts'
import { encodeEdSignRequest } from '../../src/engine/frost/sign-messages.ts'
import { requestIn } from '../../src/party/delegate-gate.ts'
import { Foreseen } from '../../src/signing/foreseen.ts'

const of = (length: number, byte: number): Uint8Array => new Uint8Array(length).fill(byte)
const [linkId, walletId, presigId, reqId] = [of(16, 1), of(16, 2), of(16, 3), of(16, 4)]
const names = { linkId, walletId, wEpoch: 1, presigId, reqId }
const point = { childKey: of(33, 5), echo: of(16, 6), w: of(32, 7), u: of(32, 8) }
const frameOf = (type: typeof FRAME_TYPES.SIGN_REQUEST | typeof FRAME_TYPES.ED_SIGN_REQUEST, body: Uint8Array): Uint8Array =>
  encodeFrame({ type, role: ROLE_C, linkId, lEpoch: 1, sid: NO_SID, body })
const ecdsa = (path: readonly number[], payload: Uint8Array): Uint8Array =>
  frameOf(FRAME_TYPES.SIGN_REQUEST, encodeSignRequest({ ...names, ...point, digest: of(32, 9), path, payload }))
const ed25519 = (payload: Uint8Array): Uint8Array =>
  frameOf(FRAME_TYPES.ED_SIGN_REQUEST, encodeEdSignRequest({ ...names, messageHash: of(32, 9), share: of(32, 7), payload }))
const hexes = (request: ReturnType<typeof requestIn>) =>
  request && Object.values(request).map((bytes) => Buffer.from(bytes).toString('hex'))

describe('a request that is foreseen', () => {
  const payload = new Uint8Array(Buffer.from('what is signed'))

  it.each([
    ['secp256k1', ecdsa([], payload)],
    ['secp256k1 under a path', ecdsa([0, 7, 2 ** 31 - 1], payload)],
    ['Ed25519', ed25519(payload)],
  ])('is what the frame says: %s', (_, frame) => {
    expect(hexes(requestIn(frame, walletId))).toEqual(hexes({ walletId, reqId, payload }))
  })

  it('is none where the frame names another wallet, is long, or asks for no signature', () => {
    expect(requestIn(ecdsa([], payload), of(16, 9))).toBeUndefined()
    expect(requestIn(ecdsa([], of(4_096, 1)), walletId)).toBeUndefined()
    const hello = encodeFrame({ type: FRAME_TYPES.HELLO, role: ROLE_C, linkId, lEpoch: 1, sid: NO_SID, body: of(48, 2) })
    expect(requestIn(hello, walletId)).toBeUndefined()
  })

  it('is taken once, and not in the place of another under its id', () => {
    const foreseen = new Foreseen<string>()
    foreseen.keep({ walletId, reqId, payload }, 'read')
    expect(foreseen.take({ walletId, reqId, payload: of(14, 1) })).toBeUndefined()
    expect(foreseen.take({ walletId, reqId, payload })).toBeUndefined()
    foreseen.keep({ walletId, reqId, payload }, 'read')
    expect(foreseen.take({ walletId, reqId, payload })).toBe('read')
    expect(foreseen.take({ walletId, reqId, payload })).toBeUndefined()
    const forget = foreseen.keep({ walletId, reqId, payload }, 'read')
    forget()
    expect(foreseen.take({ walletId, reqId, payload })).toBeUndefined()
  })
})

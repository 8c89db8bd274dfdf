/** Two honest parties from nothing to signatures, every message through its frame. */
import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { assertBelongs } from '../../src/engine/dkls23/presignature.ts'
import { recoverPoint, verifySignature } from '../../src/engine/curve/secp256k1.ts'
import { deriveChild } from '../../src/engine/dkls23/derive.ts'
import { decodeFrame, encodeFrame, FRAME_TYPES, type FrameType, NO_SID } from '../../src/engine/dkls23/frame.ts'
import {
  advanceLinkC,
  advanceLinkS,
  encodeL5,
  finishLinkC,
  finishLinkS,
  startLinkC,
  startLinkS,
} from '../../src/engine/dkls23/link-setup.ts'
import {
  advancePresignC,
  advancePresignS,
  finishPresignC,
  startPresignC,
  startSelfTestS,
} from '../../src/engine/dkls23/presign.ts'
import { decodeSignRequest } from '../../src/engine/dkls23/sign-messages.ts'
import {
  agreeOnSigning,
  answerSign,
  assertRequestScalars,
  finishSign,
  startSign,
} from '../../src/engine/dkls23/sign.ts'
import { decodeWalletRecord, encodeWalletRecord, type WalletRecord } from '../../src/engine/dkls23/records.ts'
import { ROLE_C, ROLE_S, type Role } from '../../src/engine/dkls23/suite.ts'
import { activate, hex, LINK, makePresignatures, makeWallets } from './link-fixtures.ts'
import { seededEntropy } from './seeded-entropy.ts'

const L_EPOCH = 4
let sent = 0

/** The body as it arrives at the other side. */
function carry(role: Role, type: FrameType, sid: Uint8Array, body: Uint8Array) {
  const bytes = encodeFrame({ type, role, linkId: LINK.linkId, lEpoch: L_EPOCH, sid, body })
  sent += bytes.length
  return decodeFrame(bytes, role)
}

/** L1..L5 and the self-test, to READY on both sides. */
function linkUp() {
  const [entropyC, entropyS] = [seededEntropy('e2e/C'), seededEntropy('e2e/S')]
  const c1 = startLinkC({ link: LINK, entropy: entropyC, lEpoch: L_EPOCH, reason: 'first' })
  const inputsS = { link: LINK, entropy: entropyS, ownLEpoch: L_EPOCH - 1 }
  const s2 = startLinkS(inputsS, carry(ROLE_C, FRAME_TYPES.L1, NO_SID, c1.body))
  const { sid } = s2.state
  const c3 = advanceLinkC(c1.state, carry(ROLE_S, FRAME_TYPES.L2, sid, s2.body))
  const s4 = advanceLinkS(s2.state, carry(ROLE_C, FRAME_TYPES.L3, sid, c3.body).body)
  const c5 = finishLinkC(c3.state, carry(ROLE_S, FRAME_TYPES.L4, sid, s4.body).body)
  const testC = startPresignC({ link: LINK, entropy: entropyC, material: c5.material, slots: 'self-test' })
  const body5 = encodeL5(c5.confC, testC.body)
  const s5 = finishLinkS(s4.state, carry(ROLE_C, FRAME_TYPES.L5, sid, body5).body)
  const p2 = startSelfTestS({ link: LINK, entropy: entropyS, material: s5.material }, s5.p1)
  const p3 = advancePresignC(testC.state, carry(ROLE_S, FRAME_TYPES.P2, p2.sid, p2.body))
  const p4 = advancePresignS(p2.state, carry(ROLE_C, FRAME_TYPES.P3, p2.sid, p3.body).body)
  const done = finishPresignC(p3.state, carry(ROLE_S, FRAME_TYPES.P4, p2.sid, p4.body).body)
  expect([p3.body.length, p4.body.length]).toEqual([52_500, 40_228])
  expect([...done.presignatures, ...p4.presignatures]).toEqual([])
  return { c: c5.material, s: s5.material }
}

/** Out to disk and back, as a restart would see it. */
function reloaded(records: readonly WalletRecord[]): readonly WalletRecord[] {
  return activate(records).map((record) => decodeWalletRecord(encodeWalletRecord(record)))
}

describe('two honest parties', () => {
  const material = linkUp()

  test('a link set-up with its self-test takes exactly the stated bytes', () => {
    expect(sent).toBe(139_619)
  })

  test('wallets of one link presign in one session and sign at the root and below', () => {
    const made = makeWallets(3, 'e2e')
    const wallets = { c: reloaded(made.c), s: reloaded(made.s) }
    const slots = [0, 1, 2, 1]
    const pick = (records: readonly WalletRecord[]) => slots.map((w) => records[w] as WalletRecord)
    const presigs = makePresignatures(material, { c: pick(wallets.c), s: pick(wallets.s) }, 'e2e')
    slots.forEach((w, b) => {
      const [walletC, walletS] = [wallets.c[w], wallets.s[w]]
      const [presigC, presigS] = [presigs.c[b], presigs.s[b]]
      if (walletC === undefined || walletS === undefined || presigC === undefined) throw new Error('missing')
      const path = b === 0 ? [] : [b, 7]
      const payload = new TextEncoder().encode(`payload ${b}`)
      const digest = new Uint8Array(createHash('sha256').update(payload).digest())
      const inputs = { link: LINK, wallet: walletC, digest, path, reqId: new Uint8Array(16).fill(b), payload }
      const c = startSign(inputs, presigC)
      const frame = carry(ROLE_C, FRAME_TYPES.SIGN_REQUEST, NO_SID, c.body)
      const request = decodeSignRequest(frame.body, frame.linkId)
      assertRequestScalars(request)
      assertBelongs(presigS, LINK.linkId, request.walletId, request.wEpoch)
      const own = { link: LINK, wallet: walletS, digest, path: request.path }
      const answer = answerSign(agreeOnSigning(own, request, presigS), request, presigS)
      const signature = finishSign(c.state, carry(ROLE_S, FRAME_TYPES.SIGN_RESPONSE, NO_SID, answer.body).body)
      const key = deriveChild(walletC.publicKey, walletC.chainCode, path).publicKey
      expect(verifySignature(signature.r, signature.s, digest, key)).toBe(true)
      expect(hex(recoverPoint(signature.r, signature.s, signature.recid, digest) ?? digest)).toBe(hex(key))
    })
  })

  test('presignature ids and nonce points are the same on both sides and never repeat', () => {
    const made = makeWallets(1, 'ids')
    const one = (records: readonly WalletRecord[]) =>
      Array.from({ length: 4 }, () => activate(records)[0] as WalletRecord)
    const runs = ['a', 'b'].map((seed) => makePresignatures(material, { c: one(made.c), s: one(made.s) }, seed))
    const names = (half: 'c' | 's') =>
      runs.flatMap((run) => run[half].map((p) => hex(p.presigId) + hex(p.noncePoint)))
    expect(names('c')).toEqual(names('s'))
    expect(new Set(names('c')).size).toBe(8)
  })
})

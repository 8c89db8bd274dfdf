/** The FROST formulas against RFC 9591's vectors and noble's implementation. */
import { ed25519, ed25519_FROST as frost } from '@noble/curves/ed25519.js'
import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import {
  mulBase,
  scalarAdd,
  scalarMul,
  scalarReduceWide,
  verifySignature,
} from '../../src/engine/curve/ed25519.ts'
import { planOf, walletContext } from '../../src/engine/dkls23/contexts.ts'
import { ROLE_C, ROLE_S } from '../../src/engine/dkls23/suite.ts'
import {
  bindingFactors,
  encodeCommitmentList,
  h1,
  h2,
  h4,
  h5,
  noncePointOf,
} from '../../src/engine/frost/ciphersuite.ts'
import { edPresignSid, edPresigIdOf } from '../../src/engine/frost/presign.ts'
import { edSignatureShare, edSigningContext } from '../../src/engine/frost/sign.ts'
import { concatBytes, u16 } from '../../src/engine/hash/encoding.ts'
import { taggedHash } from '../../src/engine/hash/tagged-hash.ts'
import {
  bytesOf,
  clonePresignature,
  first,
  L,
  makeEdPresignatures,
  makeEdWallets,
  numberOf,
  scalarOf,
} from './ed-fixtures.ts'
import { hex, LINK } from './link-fixtures.ts'

/** RFC 9591 appendix E.1, FROST(Ed25519, SHA-512), participants 1 and 3. */
const RFC = {
  publicKey: '15d21ccd7ee42959562fc8aa63224c8851fb3ec85a3faf66040d380fb9738673',
  message: '74657374',
  signers: [
    {
      id: 1n,
      lambda: [3n, 2n],
      share: '929dcc590407aae7d388761cddb0c0db6f5627aea8e217f4a033f2ec83d93509',
      hiding: '812d6104142944d5a55924de6d49940956206909f2acaeedecda2b726e630407',
      binding: 'b1110165fc2334149750b28dd813a39244f315cff14d4e89e6142f262ed83301',
      hidingCommitment: 'b5aa8ab305882a6fc69cbee9327e5a45e54c08af61ae77cb8207be3d2ce13de3',
      bindingCommitment: '67e98ab55aa310c3120418e5050c9cf76cf387cb20ac9e4b6fdb6f82a469f932',
      factor: 'f2cb9d7dd9beff688da6fcc83fa89046b3479417f47f55600b106760eb3b5603',
      signatureShare: '001719ab5a53ee1a12095cd088fd149702c0720ce5fd2f29dbecf24b7281b603',
    },
    {
      id: 3n,
      lambda: [-1n, 2n],
      share: 'd3cb090a075eb154e82fdb4b3cb507f110040905468bb9c46da8bdea643a9a02',
      hiding: 'c256de65476204095ebdc01bd11dc10e57b36bc96284595b8215222374f99c0e',
      binding: '243d71944d929063bc51205714ae3c2218bd3451d0214dfb5aeec2a90c35180d',
      hidingCommitment: 'cfbdb165bd8aad6eb79deb8d287bcc0ab6658ae57fdcc98ed12c0669e90aec91',
      bindingCommitment: '7487bc41a6e712eea2f2af24681b58b1cf1da278ea11fe4e8b78398965f13552',
      factor: 'b087686bf35a13f3dc78e780a34b0fe8a77fef1b9938c563f5573d71d8d7890f',
      signatureShare: 'bd86125de990acc5e1f13781d8e32c03a9bbd4c53539bbc106058bfd14326007',
    },
  ],
  messageHash:
    '504df914fa965023fb75c25ded4bb260f417de6d32e5c442c6' +
    'ba313791cc9a4948d6273e8d3511f93348ea7a708a9b862bc73ba2a79cfdfe07729a193751cbc9',
  listHash:
    '73af46d8ac3440e518d4ce440a0e7d4ad5f62ca8940f32de6d8dc00fc12c660b' +
    '817d587d82f856d277ce6473cae6d2f5763f7da2e8b4d799a3f3e725d4522ec7',
  signature:
    '36282629c383bb820a88b71cae937d41f2f2adfcc3d02e55507e2fb9e2dd3cbe' +
    'bd9d2b0844e49ae0f3fa935161e1419aab7b47d21a37ebeae1f17d4987b3160b',
} as const

const invert = (value: bigint): bigint => ed25519.Point.Fn.inv(((value % L) + L) % L)

describe('RFC 9591, appendix E.1', () => {
  const publicKey = bytesOf(RFC.publicKey)
  const message = bytesOf(RFC.message)
  const list = concatBytes(
    ...RFC.signers.map(({ id, hidingCommitment, bindingCommitment }) =>
      concatBytes(scalarOf(id), bytesOf(hidingCommitment), bytesOf(bindingCommitment)),
    ),
  )
  const factors = RFC.signers.map(({ id }) => h1(concatBytes(publicKey, h4(message), h5(list), scalarOf(id))))
  const [one, two] = RFC.signers.map(({ hidingCommitment, bindingCommitment }) => ({
    hiding: bytesOf(hidingCommitment),
    binding: bytesOf(bindingCommitment),
  }))
  if (one === undefined || two === undefined) throw new Error('two signers')
  const noncePoint = noncePointOf({ c: one, s: two }, { c: factors[0] ?? publicKey, s: factors[1] ?? publicKey })

  test('H4, H5 and H1', () => {
    expect(hex(h4(message))).toBe(RFC.messageHash)
    expect(hex(h5(list))).toBe(RFC.listHash)
    expect(factors.map(hex)).toEqual(RFC.signers.map(({ factor }) => factor))
  })

  test('commitments, signature shares in additive form, and the signature', () => {
    const challenge = h2(concatBytes(noncePoint, publicKey, message))
    const shares = RFC.signers.map(({ lambda: [over, under], ...one }, i) => {
      expect(hex(mulBase(bytesOf(one.hiding)))).toBe(one.hidingCommitment)
      expect(hex(mulBase(bytesOf(one.binding)))).toBe(one.bindingCommitment)
      // λ_1 = 3/2 and λ_3 = 1/(1−3) = −1/2 here; x_i = λ_i·s_i.
      const x = scalarMul(scalarOf(over * invert(under)), bytesOf(one.share))
      const presignature = {
        ...clonePresignature(PRESIGNATURE),
        hidingNonce: bytesOf(one.hiding),
        bindingNonce: bytesOf(one.binding),
      }
      const factor = factors[i] ?? publicKey
      return edSignatureShare({ factors: { c: factor, s: factor }, challenge }, ROLE_C, presignature, x)
    })
    expect(shares.map(hex)).toEqual(RFC.signers.map(({ signatureShare }) => signatureShare))
    const signature = concatBytes(noncePoint, scalarAdd(shares[0] ?? challenge, shares[1] ?? challenge))
    expect(hex(signature)).toBe(RFC.signature)
    expect(verifySignature(signature, message, publicKey)).toBe(true)
  })
})

const WALLETS = makeEdWallets(1, 'frost')
const PRESIGNATURE = first(makeEdPresignatures(WALLETS, 'frost').c)

describe('noble as the oracle', () => {
  const [c, s] = [first(WALLETS.c), first(WALLETS.s)]
  // s_i = x_i·λ_i^−1 with λ_1 = 2, λ_2 = −1.
  const sharesOf = { c: scalarOf(numberOf(c.share) * invert(2n)), s: scalarOf(-numberOf(s.share)) }
  const ids = { c: frost.Identifier.fromNumber(1), s: frost.Identifier.fromNumber(2) }
  const slope = scalarOf(numberOf(sharesOf.s) - numberOf(sharesOf.c))
  const pub = {
    signers: { min: 2, max: 2 },
    commitments: [c.publicKey.slice(), mulBase(slope)],
    verifyingShares: { [ids.c]: mulBase(sharesOf.c), [ids.s]: mulBase(sharesOf.s) },
  }

  test('the mapping s_i = x_i·λ_i^−1 opens the same key', () => {
    const key = {
      c: { identifier: ids.c, signingShare: sharesOf.c },
      s: { identifier: ids.s, signingShare: sharesOf.s },
    }
    frost.validateSecret(key.c, pub)
    frost.validateSecret(key.s, pub)
    const secret = frost.combineSecret([key.c, key.s], pub.signers)
    expect(numberOf(secret)).toBe((numberOf(c.share) + numberOf(s.share)) % L)
  })

  test.each([0, 1, 2, 3, 4])('signature shares of the same nonces are byte-identical, run %i', (i) => {
    const presigned = makeEdPresignatures(WALLETS, `noble ${i}`)
    const [forC, forS] = [first(presigned.c), first(presigned.s)]
    const message = Buffer.from('m'.repeat(i * 37))
    const { commitments } = forC
    const list = [
      { identifier: ids.c, ...commitments.c },
      { identifier: ids.s, ...commitments.s },
    ]
    const nonces = ({ hidingNonce, bindingNonce }: typeof forC) => ({
      hiding: hidingNonce.slice(),
      binding: bindingNonce.slice(),
    })
    const expected = {
      c: frost.signShare({ identifier: ids.c, signingShare: sharesOf.c }, pub, nonces(forC), list, message),
      s: frost.signShare({ identifier: ids.s, signingShare: sharesOf.s }, pub, nonces(forS), list, message),
    }
    const context = edSigningContext({ link: LINK, wallet: c, message }, forC)
    const got = {
      c: edSignatureShare(context, ROLE_C, forC, c.share),
      s: edSignatureShare(context, ROLE_S, forS, s.share),
    }
    expect([hex(got.c), hex(got.s)]).toEqual([hex(expected.c), hex(expected.s)])
    const sum = concatBytes(context.noncePoint, scalarAdd(got.c, got.s))
    const shares = { [ids.c]: expected.c, [ids.s]: expected.s }
    expect(hex(sum)).toBe(hex(frost.aggregate(pub, list, message, shares)))
    expect(frost.verify(sum, message, c.publicKey)).toBe(true)
    expect(ed25519.verify(sum, message, c.publicKey, { zip215: false })).toBe(true)
  })
})

describe('formulas of a session', () => {
  test('sid, presigId, and the commitments that both sides hold', () => {
    const presigned = makeEdPresignatures(WALLETS, 'formulas')
    const [forC, forS] = [first(presigned.c), first(presigned.s)]
    const wctx = walletContext(LINK, first(WALLETS.c))
    expect(hex(wctx)).toBe(hex(walletContext(LINK, first(WALLETS.s))))
    let e1 = new Uint8Array(0)
    let e2 = new Uint8Array(0)
    makeEdPresignatures(WALLETS, 'formulas', {
      E1: (body) => (e1 = body.slice()),
      E2: (body) => (e2 = body.slice()),
    })
    expect([e1.length, e2.length]).toEqual([34 + 84, 64 + 64])
    const { commitments } = forC
    expect(hex(e1.subarray(54))).toBe(hex(concatBytes(commitments.c.hiding, commitments.c.binding)))
    expect(hex(e2.subarray(32, 96))).toBe(hex(concatBytes(commitments.s.hiding, commitments.s.binding)))
    const context = taggedHash('ed/ctx', LINK.linkId, LINK.idC, LINK.idS)
    const dc = taggedHash('ed/dc', e1.subarray(54))
    const plan = taggedHash('plan', u16(1), wctx)
    const nonces = [e1.subarray(0, 32), e2.subarray(0, 32)] as const
    const sid = taggedHash('sid', context, Buffer.from('ed-presign'), ...nonces, u16(1), plan, dc)
    expect(hex(presigned.sid)).toBe(hex(sid))
    expect(hex(edPresignSid(LINK, ...nonces, planOf([wctx]), [commitments.c]))).toBe(hex(sid))
    let tr = taggedHash('tr', new Uint8Array(32), Uint8Array.of(1), Uint8Array.of(0x18), e1)
    tr = taggedHash('tr', tr, Uint8Array.of(2), Uint8Array.of(0x19), e2.subarray(0, 96))
    expect(hex(e2.subarray(96))).toBe(hex(taggedHash('presign/conf', sid, Uint8Array.of(2), tr)))
    for (const one of [forC, forS]) {
      expect(hex(one.presigId)).toBe(hex(taggedHash('ed/presig', sid, u16(0)).subarray(0, 16)))
      expect(hex(one.presigId)).toBe(hex(edPresigIdOf(sid, 0)))
      expect(one.commitments).toEqual(commitments)
    }
    expect(hex(mulBase(forC.hidingNonce))).toBe(hex(commitments.c.hiding))
    expect(hex(mulBase(forS.bindingNonce))).toBe(hex(commitments.s.binding))
  })

  test('the commitment list is in the order of the identifiers, and the factors depend on all of it', () => {
    const { commitments } = PRESIGNATURE
    const { c, s } = commitments
    const expected = concatBytes(scalarOf(1n), c.hiding, c.binding, scalarOf(2n), s.hiding, s.binding)
    expect(hex(encodeCommitmentList(commitments))).toBe(hex(expected))
    const key = first(WALLETS.c).publicKey
    const base = bindingFactors(key, commitments, Buffer.from('m'))
    const others = [
      bindingFactors(key, { c: s, s: c }, Buffer.from('m')),
      bindingFactors(key, { c: { hiding: c.binding, binding: c.hiding }, s }, Buffer.from('m')),
      bindingFactors(key, { c, s: { hiding: s.binding, binding: s.hiding } }, Buffer.from('m')),
      bindingFactors(key, commitments, Buffer.from('n')),
      bindingFactors(c.hiding, commitments, Buffer.from('m')),
    ]
    const all = [base, ...others].flatMap((factors) => [hex(factors.c), hex(factors.s)])
    expect(new Set(all).size).toBe(12)
  })

  test('H2 is the challenge of RFC 8032', () => {
    expect(hex(h2(bytesOf('abcd')))).toBe(hex(scalarReduceWide(Buffer.from(sha512Of('abcd')))))
  })
})

function sha512Of(text: string): Uint8Array {
  return new Uint8Array(createHash('sha512').update(bytesOf(text)).digest())
}

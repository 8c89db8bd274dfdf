/**
 * Two parties over memory stores make Ed25519 wallets, presign and sign; what goes wrong costs what §15 and §18
 * say.
 */
import { createPublicKey, randomBytes, verify } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { encodeFault, encodeFrame, FRAME_TYPES, HEADER_BYTES } from '../../src/engine/dkls23/frame.ts'
import { benign } from '../../src/engine/dkls23/fault.ts'
import { ALG_ED25519, ROLE_S } from '../../src/engine/dkls23/suite.ts'
import { type EdSignJob, type ReadyEdPresignature } from '../../src/party/ed-initiator.ts'
import { jobOf, type TwoParties, twoParties } from './two-parties.ts'

const MESSAGE = Buffer.from('an Ed25519 message')

async function newEdWallets(two: TwoParties, count: number): Promise<Uint8Array[]> {
  const { sid, wallets } = await two.c.generate(count, ALG_ED25519)
  for (const { walletId, wEpoch } of wallets) await two.storeC.activate(walletId, wEpoch)
  await two.c.acknowledge(sid)
  return wallets.map(({ walletId }) => walletId)
}

async function oneWallet(slots = 1) {
  const two = await twoParties()
  const [walletId] = (await newEdWallets(two, 1)) as [Uint8Array]
  const ready = await two.c.ed.presign(Array.from({ length: slots }, () => walletId))
  expect(ready).toHaveLength(slots)
  return { two, walletId, ready, first: ready[0] as ReadyEdPresignature }
}

const edJob = (ready: ReadyEdPresignature, message: Uint8Array = MESSAGE): EdSignJob => ({
  ...ready,
  reqId: randomBytes(16),
  message,
  payload: message,
})

async function verifies(two: TwoParties, walletId: Uint8Array, signature: Uint8Array, message: Uint8Array) {
  const record = await two.storeC.loadWallet(walletId)
  const key = record?.publicKey ?? new Uint8Array(32)
  const spki = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), key])
  return verify(null, message, createPublicKey({ key: spki, format: 'der', type: 'spki' }), signature)
}

/** Changes the next frame of this type on its way to S. */
function bendOnce(two: TwoParties, type: number, change: (frame: Uint8Array) => Uint8Array): void {
  two.wire.toS = (frame) => {
    if (frame[5] !== type) return frame
    two.wire.toS = (next) => next
    return change(frame)
  }
}

const flip = (at: number) => (frame: Uint8Array) => {
  const out = frame.slice()
  out[HEADER_BYTES + at] = (out[HEADER_BYTES + at] ?? 0) ^ 1
  return out
}

const stateOf = async (store: TwoParties['storeC'], walletId: Uint8Array) => {
  const record = await store.loadWallet(walletId)
  return record?.state
}

describe('two parties with Ed25519 wallets', () => {
  it('a burn at C while it opens its share for a signature lets no part of one out', async () => {
    const { two, first } = await oneWallet()
    const sent: number[] = []
    two.wire.toS = (frame) => {
      sent.push(frame[5] ?? 0)
      return frame
    }
    const { loadWallet } = two.storeC
    let burning: Promise<void> | undefined
    Object.assign(two.storeC, {
      loadWallet: async (walletId: Uint8Array) => {
        const record = await loadWallet(walletId)
        burning ??= two.linkC.burn()
        return record
      },
    })
    await expect(two.c.ed.sign(edJob(first))).rejects.toMatchObject({ codeName: 'link_burned' })
    await burning
    expect(sent).toEqual([])
  })

  it('make wallets, presign for several at once without link material, and sign', async () => {
    const two = await twoParties()
    const [first, second] = (await newEdWallets(two, 2)) as [Uint8Array, Uint8Array]
    const ready = await two.c.ed.presign([first, second, first])
    expect(ready).toHaveLength(3)
    expect([two.linkC.material, two.linkS.material]).toEqual([undefined, undefined])
    for (const [i, one] of ready.entries()) {
      const message = Buffer.from('x'.repeat(i * 500))
      const signature = await two.c.ed.sign(edJob(one, message))
      expect(await verifies(two, one.walletId, signature, message)).toBe(true)
    }
    expect([two.c.ed.presignatureCount, two.s.ed.presignatureCount]).toEqual([0, 0])
    expect(two.alerts).toEqual([])
  })

  it('share one link with ECDSA wallets, before and after its set-up', async () => {
    const { two, walletId, first } = await oneWallet()
    const [ecdsa] = (await two.newWallets(1)) as [Uint8Array]
    const [ready] = await two.c.presign([ecdsa])
    if (ready === undefined) throw new Error('no presignature')
    await two.c.sign(jobOf(ready, MESSAGE))
    // Made before the set-up raised the epoch, signed after it: the record's epoch counts.
    expect(await verifies(two, walletId, await two.c.ed.sign(edJob(first)), MESSAGE)).toBe(true)
    const [later] = await two.c.ed.presign([walletId])
    if (later === undefined) throw new Error('no presignature')
    expect(await verifies(two, walletId, await two.c.ed.sign(edJob(later)), MESSAGE)).toBe(true)
    // A wallet of one algorithm does not presign with the other.
    expect(await two.c.ed.presign([ecdsa])).toEqual([])
    expect(await two.c.presign([walletId])).toEqual([])
  })

  it('a restart of either side empties both pools', async () => {
    const { two, walletId, first } = await oneWallet()
    const again = await two.restart()
    await expect(again.c.ed.sign(edJob(first))).rejects.toMatchObject({ codeName: 'unknown_presig' })
    const [ready] = await again.c.ed.presign([walletId])
    if (ready === undefined) throw new Error('no presignature')
    expect(await verifies(again, walletId, await again.c.ed.sign(edJob(ready)), MESSAGE)).toBe(true)
  })

  it('a lost acknowledgement is replaced by E1', async () => {
    const two = await twoParties()
    const { wallets } = await two.c.generate(1, ALG_ED25519)
    const [wallet] = wallets
    if (wallet === undefined) throw new Error('no wallet')
    await two.storeC.activate(wallet.walletId, wallet.wEpoch)
    expect(await stateOf(two.storeS, wallet.walletId)).toBe('PENDING')
    expect(await two.c.ed.presign([wallet.walletId])).toHaveLength(1)
    expect(await stateOf(two.storeS, wallet.walletId)).toBe('ACTIVE')
  })

  it('slots that S refuses are left out', async () => {
    const two = await twoParties()
    const [first, second] = (await newEdWallets(two, 2)) as [Uint8Array, Uint8Array]
    await two.storeS.setWalletState(first, 'FROZEN', 'test')
    const ready = await two.c.ed.presign([first, second, first])
    expect(ready.map(({ walletId }) => Buffer.from(walletId))).toEqual([Buffer.from(second)])
    expect(two.linkS.record.strikeAtMs).toEqual([0n, 0n, 0n])
  })

  it('sides whose epochs came apart find each other again', async () => {
    const { two, walletId } = await oneWallet()
    await two.linkS.commitEpoch(7, { relink: false, erase: false })
    two.clock.advance(6_000)
    expect(await two.c.ed.presign([walletId])).toHaveLength(1)
    expect(two.linkC.record.lEpoch).toBe(two.linkS.record.lEpoch)
  })

  it('presignatures expire, are wiped with their wallet, and count as touched', async () => {
    const { two, walletId, ready } = await oneWallet(4)
    const [a, b, c] = ready as [ReadyEdPresignature, ReadyEdPresignature, ReadyEdPresignature]
    two.c.ed.discard(a.presigId)
    await expect(two.c.ed.sign(edJob(a))).rejects.toMatchObject({ codeName: 'unknown_presig' })
    two.s.wipeWallet(walletId)
    expect(two.s.ed.presignatureCount).toBe(0)
    // S does not know it: C drops the rest of that session.
    await expect(two.c.ed.sign(edJob(b))).rejects.toMatchObject({ refusal: { code: 'unknown_presig' } })
    expect(two.c.ed.presignatureCount).toBe(0)
    await expect(two.c.ed.sign(edJob(c))).rejects.toMatchObject({ codeName: 'unknown_presig' })
    const [late] = (await two.c.ed.presign([walletId])) as [ReadyEdPresignature]
    two.clock.advance(3_600_000)
    await expect(two.c.ed.sign(edJob(late))).rejects.toMatchObject({ codeName: 'unknown_presig' })
  })
})

describe('what goes wrong', () => {
  it('a wrong z_C suspends the wallet, strikes nobody and releases nothing', async () => {
    const { two, walletId, first } = await oneWallet(3)
    const answers: (Uint8Array | undefined)[] = []
    two.wire.toC = (frame) => (answers.push(frame), frame)
    bendOnce(two, FRAME_TYPES.ED_SIGN_REQUEST, flip(100))
    await expect(two.c.ed.sign(edJob(first))).rejects.toMatchObject({ refusal: { code: 'protocol' } })
    expect(answers.map((frame) => frame?.[5])).toEqual([FRAME_TYPES.ERROR])
    expect(await stateOf(two.storeS, walletId)).toBe('SUSPENDED')
    expect(two.s.ed.presignatureCount).toBe(0)
    expect(two.linkS.record).toMatchObject({ state: 'ACTIVE', strikeAtMs: [0n, 0n, 0n] })
    expect(two.alerts.join()).toContain('S:wallet_suspended')
  })

  it('a signature that does not verify suspends the wallet at C', async () => {
    const { two, walletId, first } = await oneWallet(2)
    two.wire.toC = (frame) => (frame === undefined ? undefined : flip(79)(frame))
    await expect(two.c.ed.sign(edJob(first))).rejects.toMatchObject({ consequence: 'suspend-wallet' })
    expect(await stateOf(two.storeC, walletId)).toBe('SUSPENDED')
    expect(two.c.ed.presignatureCount).toBe(0)
    expect(two.linkC.record.strikeAtMs).toEqual([0n, 0n, 0n])
    two.wire.toC = (frame) => frame
    expect(await two.c.ed.presign([walletId])).toEqual([])
  })

  it('another message than S derives is a disagreement: an alert, no strike, no suspension', async () => {
    const { two, walletId, first } = await oneWallet()
    const job = { ...edJob(first), message: Buffer.from('other') }
    await expect(two.c.ed.sign(job)).rejects.toMatchObject({ refusal: { code: 'disagreement' } })
    expect(await stateOf(two.storeS, walletId)).toBe('ACTIVE')
    expect(two.linkS.record.strikeAtMs).toEqual([0n, 0n, 0n])
    expect(two.alerts.join()).toContain('S:disagreement')
    expect(two.s.ed.presignatureCount).toBe(0)
  })

  it('z_C at L or above and a bad nonce point are strikes', async () => {
    const { two, walletId, first } = await oneWallet()
    const high = (frame: Uint8Array) => {
      const out = frame.slice()
      out.fill(0xff, HEADER_BYTES + 100, HEADER_BYTES + 132)
      return out
    }
    bendOnce(two, FRAME_TYPES.ED_SIGN_REQUEST, high)
    await expect(two.c.ed.sign(edJob(first))).rejects.toMatchObject({ refusal: { code: 'protocol' } })
    const identity = (frame: Uint8Array) => {
      const out = frame.slice()
      out.fill(0, HEADER_BYTES + 54, HEADER_BYTES + 86)
      out[HEADER_BYTES + 54] = 1
      return out
    }
    bendOnce(two, FRAME_TYPES.E1, identity)
    await expect(two.c.ed.presign([walletId])).rejects.toMatchObject({ refusal: { code: 'protocol' } })
    expect(two.linkS.record.strikeAtMs.filter((at) => at !== 0n)).toHaveLength(2)
    expect(await stateOf(two.storeS, walletId)).toBe('ACTIVE')
    expect(two.s.ed.presignatureCount).toBe(0)
  })

  it('one frame answered once: a replayed request gets the stored signature, never another', async () => {
    const { two, walletId, ready } = await oneWallet(2)
    const [a, b] = ready as [ReadyEdPresignature, ReadyEdPresignature]
    let request = new Uint8Array(0)
    two.wire.toS = (frame) => (request = frame.slice())
    const job = edJob(a)
    const signature = await two.c.ed.sign(job)
    const again = await two.s.answer(request)
    expect(Buffer.from(again?.subarray(HEADER_BYTES + 16) ?? [])).toEqual(Buffer.from(signature))
    // The same reqId for another message is refused, and its presignature is gone all the same.
    const other = { ...edJob(b, Buffer.from('another')), reqId: job.reqId }
    await expect(two.c.ed.sign(other)).rejects.toMatchObject({ refusal: { code: 'reqid_conflict' } })
    expect(two.s.ed.presignatureCount).toBe(0)
    expect(await stateOf(two.storeS, walletId)).toBe('ACTIVE')
  })

  it('a presignature that was recorded before, as of a cloned pool, suspends the wallet before z_S', async () => {
    const { two, walletId, first } = await oneWallet()
    const intent = {
      walletId, wEpoch: 0, presigId: first.presigId, noncePoint: randomBytes(32), reqId: randomBytes(16),
      digest: randomBytes(32), payload: MESSAGE, summary: '', requestKey: randomBytes(32),
    }
    expect(await two.storeS.commitIntent(intent)).toBe('committed')
    await expect(two.c.ed.sign(edJob(first))).rejects.toMatchObject({ refusal: { code: 'wallet_state' } })
    expect(await stateOf(two.storeS, walletId)).toBe('SUSPENDED')
  })

  it('a wallet that stops while its intent is written signs nothing', async () => {
    const { two, walletId, first } = await oneWallet()
    const { commitIntent } = two.storeS
    Object.assign(two.storeS, {
      commitIntent: async (intent: Parameters<typeof commitIntent>[0]) => {
        const verdict = await commitIntent(intent)
        two.s.wipeWallet(walletId)
        return verdict
      },
    })
    await expect(two.c.ed.sign(edJob(first))).rejects.toMatchObject({ refusal: { code: 'wallet_state' } })
  })

  it('a wallet that stops while E2 is under way keeps no presignature', async () => {
    const { two, walletId } = await oneWallet()
    two.wire.toC = (frame) => {
      two.c.wipeWallet(walletId)
      return frame
    }
    expect(await two.c.ed.presign([walletId])).toEqual([])
    expect(two.c.ed.presignatureCount).toBe(0)
  })

  it('a burn stops Ed25519 wallets of the link too', async () => {
    const { two, walletId, first } = await oneWallet()
    await two.linkS.burn()
    expect(two.s.ed.presignatureCount).toBe(0)
    await expect(two.c.ed.sign(edJob(first))).rejects.toMatchObject({ refusal: { code: 'link_burned' } })
    expect(two.linkC.burned).toBe(true)
    await expect(two.c.ed.presign([walletId])).rejects.toMatchObject({ codeName: 'link_burned' })
  })

  it('a refusal that is not about presignatures leaves the others alone', async () => {
    const { two, ready } = await oneWallet(3)
    const [a] = ready as [ReadyEdPresignature]
    two.wire.toC = (frame) => {
      if (frame === undefined) return undefined
      const body = encodeFault(benign('policy_denied', 'no'))
      const { linkId } = two.linkC.parties
      const sid = new Uint8Array(32)
      return encodeFrame({ type: FRAME_TYPES.ERROR, role: ROLE_S, linkId, lEpoch: 0, sid, body })
    }
    await expect(two.c.ed.sign(edJob(a))).rejects.toMatchObject({ refusal: { code: 'policy_denied' } })
    expect(two.c.ed.presignatureCount).toBe(2)
  })
})

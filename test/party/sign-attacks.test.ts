import { randomBytes } from 'node:crypto'
import { beforeEach, describe, expect, it } from 'vitest'
import { FRAME_TYPES, NO_SID } from '../../src/engine/dkls23/frame.ts'
import { advancePresignC } from '../../src/engine/dkls23/presign.ts'
import type { Presignature } from '../../src/engine/dkls23/presignature.ts'
import { startSign } from '../../src/engine/dkls23/sign.ts'
import { ROLE_C, ROLE_S } from '../../src/engine/dkls23/suite.ts'
import { emptyTranscript, extendTranscript } from '../../src/engine/dkls23/transcript.ts'
import { scalarAdd } from '../../src/engine/kernel/scalar.ts'
import { MAX_256, Q, toLe } from '../engine/bigint-reference.ts'
import { hexOf } from '../../src/party/presignature-map.ts'
import { endOf } from './judging.ts'
import { flipped, MaliciousC, replaced } from './malicious-c.ts'
import { MaliciousS } from './malicious-s.ts'
import { durable, jobOf, sha256, twoParties, type TwoParties, warmParties } from './two-parties.ts'

const payload = new Uint8Array(Buffer.from('what is signed'))
const otherPayload = new Uint8Array(Buffer.from('something else'))
const one = toLe(1n)
let two: TwoParties
let ids: [Uint8Array, Uint8Array]

beforeEach(async () => {
  const made = await warmParties()
  two = made.two
  ids = made.ids
})

type Request = {
  readonly message?: Uint8Array
  readonly payload?: Uint8Array
  readonly reqId?: Uint8Array
  readonly wallet?: Uint8Array
  readonly path?: readonly number[]
}

/** C gone wrong at the online step: it keeps what it should wipe. */
class Forger extends MaliciousC {
  async presignatures(count = 1, wallet = ids[0]): Promise<Presignature[]> {
    const run = await this.untilP3(Array.from({ length: count }, () => wallet))
    return [...this.finish(run.state, await this.sendP3(run.sid, run.body))]
  }

  async request(presignature: Presignature, of: Request = {}): Promise<Uint8Array> {
    const wallet = await this.two.storeC.loadWallet(of.wallet ?? ids[0])
    if (wallet === undefined) throw new Error('no wallet')
    const said = of.payload ?? payload
    const inputs = { link: this.two.linkC.parties, wallet, digest: of.message ?? sha256(said), path: of.path ?? [] }
    const reqId = of.reqId ?? new Uint8Array(randomBytes(16))
    return startSign({ ...inputs, reqId, payload: said }, structuredClone(presignature)).body
  }

  async ask(body: Uint8Array, lEpoch = this.mine.lEpoch): Promise<string> {
    const { refusal } = await this.send(FRAME_TYPES.SIGN_REQUEST, NO_SID, lEpoch, body)
    return refusal?.code ?? 'signed'
  }
}

const stateAtS = async (wallet = ids[0]) => (await two.storeS.loadWallet(wallet))?.state
const nothingHappened = async () => {
  expect(await durable(two)).toMatchObject({ c: 'ACTIVE', s: 'ACTIVE', strikesS: 0, strikesC: 0, burnsS: 0 })
  expect(await stateAtS()).toBe('ACTIVE')
}
const honestSigns = async (wallet = ids[0]) => {
  const [ready] = await two.c.presign([wallet])
  expect(await endOf(two.c.sign(jobOf(ready as NonNullable<typeof ready>, payload)))).toBe('done')
}

describe('T12 another ψ', () => {
  const withPsi = async (consistent: boolean) => {
    const evil = new Forger(two)
    const run = await evil.untilP3([ids[0]])
    const psi = run.body.length - 32
    const body = replaced(run.body, psi, scalarAdd(run.body.subarray(psi), one))
    const tr1 = extendTranscript(emptyTranscript(), ROLE_C, FRAME_TYPES.P1, run.p1)
    const tr2 = extendTranscript(tr1, ROLE_S, FRAME_TYPES.P2, run.p2.body)
    const state = { ...run.state, tr: extendTranscript(tr2, ROLE_C, FRAME_TYPES.P3, body) }
    if (consistent) state.secrets.blinds.set(scalarAdd(state.secrets.blinds, one))
    const [presignature] = evil.finish(state, await evil.sendP3(run.sid, body))
    return evil.ask(await evil.request(presignature as Presignature))
  }

  it('used consistently it is another φ, and the signature is valid', async () => {
    expect(await withPsi(true)).toBe('signed')
    await nothingHappened()
  })

  it('used inconsistently the final signature fails: the wallet is SUSPENDED, no strike, the link goes on', async () => {
    const ready = await two.c.presign([ids[0], ids[1]])
    expect(await withPsi(false)).toBe('protocol')
    expect(await durable(two)).toMatchObject({ s: 'ACTIVE', strikesS: 0, burnsS: 0 })
    expect(await stateAtS()).toBe('SUSPENDED')
    expect(two.s.presignatureCount).toBe(1)
    expect(await endOf(two.c.sign(jobOf(ready[0] as (typeof ready)[0], payload)))).toBe('S:A:unknown_presig')
    expect(await two.c.presign([ids[0]])).toEqual([])
    await honestSigns(ids[1])
  })

  it('of S, inconsistently: C suspends the wallet on its side', async () => {
    const evil = new MaliciousS(two, {
      signature: (body) => replaced(body, 48, Uint8Array.of(1)),
    })
    two.wire.peer = evil.answer
    const ready = await two.c.presign([ids[0], ids[0], ids[1]])
    expect(await endOf(two.c.sign(jobOf(ready[0] as (typeof ready)[0], payload)))).toBe('C:C:protocol')
    expect((await two.storeC.loadWallet(ids[0]))?.state).toBe('SUSPENDED')
    expect(await durable(two)).toMatchObject({ c: 'ACTIVE', strikesC: 0, burnsC: 0 })
    // The presignatures of that session are gone, those of the other wallet with them.
    expect(two.c.presignatureCount).toBe(0)
    expect(await two.c.presign([ids[0]])).toEqual([])
    two.wire.peer = undefined
    await honestSigns(ids[1])
  })
})

describe('T7 scalars of the request', () => {
  it.each([Q, Q + 1n, MAX_256])('w or u = %i: class C with a strike', async (value) => {
    const evil = new Forger(two)
    for (const at of [150, 182]) {
      const [presignature] = await evil.presignatures()
      const body = await evil.request(presignature as Presignature)
      expect(await evil.ask(replaced(body, at, toLe(value)))).toBe('protocol')
      // Touched is gone.
      expect(await evil.ask(body)).toBe('unknown_presig')
    }
    expect(await durable(two)).toMatchObject({ s: 'ACTIVE', strikesS: 2 })
    expect(await stateAtS()).toBe('ACTIVE')
  })

  it.each([0n, 1n, Q - 1n])('w or u = %i: the final signature fails, the wallet is SUSPENDED', async (value) => {
    const evil = new Forger(two)
    const [presignature] = await evil.presignatures()
    const body = replaced(await evil.request(presignature as Presignature), 182, toLe(value))
    expect(await evil.ask(body)).toBe('protocol')
    expect(await durable(two)).toMatchObject({ s: 'ACTIVE', strikesS: 0 })
    expect(await stateAtS()).toBe('SUSPENDED')
  })
})

describe('T13 one presignature', () => {
  it('twice in one tick, for the same or for two messages: one signature', async () => {
    for (const second of [payload, otherPayload]) {
      const evil = new Forger(two)
      const [presignature] = (await evil.presignatures()) as [Presignature]
      const bodies = [await evil.request(presignature), await evil.request(presignature, { payload: second })]
      const ends = await Promise.all(bodies.map((body) => evil.ask(body)))
      expect(ends).toEqual(['signed', 'unknown_presig'])
    }
    await nothingHappened()
  })

  it('after a denial, after a payload that does not read, and after a restart: it is gone', async () => {
    const evil = new Forger(two)
    const [a, b, c] = (await evil.presignatures(3)) as [Presignature, Presignature, Presignature]
    const { commitIntent } = two.storeS
    Object.assign(two.storeS, { commitIntent: async () => 'denied' })
    expect(await evil.ask(await evil.request(a))).toBe('policy_denied')
    Object.assign(two.storeS, { commitIntent })
    expect(await evil.ask(await evil.request(a))).toBe('unknown_presig')
    expect(await evil.ask(await evil.request(b, { message: sha256(otherPayload) }))).toBe('disagreement')
    expect(await evil.ask(await evil.request(b))).toBe('unknown_presig')
    const again = await two.restart()
    expect(await new Forger(again).ask(await evil.request(c), evil.mine.lEpoch)).toBe('unknown_presig')
    await nothingHappened()
  })

  it('of wallet A for wallet B, of another epoch, of another link epoch: class A, and gone', async () => {
    const evil = new Forger(two)
    const [a, b, c] = (await evil.presignatures(3)) as [Presignature, Presignature, Presignature]
    const forB = await evil.request({ ...a, walletId: ids[1] }, { wallet: ids[1] })
    expect(await evil.ask(forB)).toBe('unknown_presig')
    expect(await evil.ask(await evil.request(a))).toBe('unknown_presig')
    expect(await evil.ask(replaced(await evil.request(b), 32, Uint8Array.of(1)))).toBe('unknown_presig')
    expect(await evil.ask(await evil.request(c), evil.mine.lEpoch + 1)).toBe('unknown_presig')
    expect(await evil.ask(await evil.request(c))).toBe('unknown_presig')
    expect(two.s.presignatureCount).toBe(0)
    await nothingHappened()
  })

  it('C takes it out before anything else: a failing sign leaves nothing behind', async () => {
    const ready = await two.c.presign([ids[0], ids[0], ids[0]])
    const [a, b, c] = ready as [(typeof ready)[0], (typeof ready)[0], (typeof ready)[0]]
    expect(await endOf(two.c.sign({ ...jobOf(a, payload), reqId: new Uint8Array(15) }))).toBe('error:RangeError')
    expect(await endOf(two.c.sign({ ...jobOf(b, payload), payload: new Uint8Array(2 ** 21) }))).toBe(
      'C:A:policy_denied',
    )
    two.wire.toS = () => {
      throw new Error('gone')
    }
    expect(await endOf(two.c.sign(jobOf(c, payload)))).toBe('error:Error')
    two.wire.toS = (frame) => frame
    for (const used of [a, b, c]) expect(await endOf(two.c.sign(jobOf(used, payload)))).toBe('C:A:unknown_presig')
    expect(two.c.presignatureCount).toBe(0)
    await nothingHappened()
  })
})

describe('T14 one request id', () => {
  it('the same request again gives the stored signature, and the presignature that it names is gone', async () => {
    const evil = new Forger(two)
    const [a, b, c] = (await evil.presignatures(3)) as [Presignature, Presignature, Presignature]
    const reqId = new Uint8Array(randomBytes(16))
    const { SIGN_REQUEST } = FRAME_TYPES
    const { lEpoch } = evil.mine
    const first = await evil.send(SIGN_REQUEST, NO_SID, lEpoch, await evil.request(a, { reqId }))
    const second = await evil.send(SIGN_REQUEST, NO_SID, lEpoch, await evil.request(b, { reqId }))
    expect(hexOf(second.body)).toBe(hexOf(first.body))
    expect(await evil.ask(await evil.request(b))).toBe('unknown_presig')
    expect(await evil.ask(await evil.request(c, { reqId, payload: otherPayload }))).toBe('reqid_conflict')
    expect(await evil.ask(await evil.request(c))).toBe('unknown_presig')
    // Under a fence the stored signature is not given out either.
    const { admits } = two.storeS
    Object.assign(two.storeS, { admits: () => false })
    expect(await evil.ask(await evil.request(c, { reqId }))).toBe('policy_denied')
    Object.assign(two.storeS, { admits })
    await two.storeS.setWalletState(ids[0], 'SUSPENDED', '')
    two.s.wipeWallet(ids[0])
    expect(await evil.ask(await evil.request(c, { reqId }))).toBe('wallet_state')
    expect(await durable(two)).toMatchObject({ s: 'ACTIVE', strikesS: 0 })
  })

  it('while it runs it is busy; a try without a signature is decided again', async () => {
    const evil = new Forger(two)
    const [a, b, c, e] = (await evil.presignatures(4)) as [Presignature, Presignature, Presignature, Presignature]
    const reqId = new Uint8Array(randomBytes(16))
    const { commitIntent, completeIntent } = two.storeS
    Object.assign(two.storeS, {
      commitIntent: async (intent: Parameters<typeof commitIntent>[0]) => {
        const verdict = await commitIntent(intent)
        await new Promise((wake) => setTimeout(wake, 10))
        return verdict
      },
    })
    const running = evil.ask(await evil.request(a, { reqId }))
    expect(await evil.ask(await evil.request(b, { reqId }))).toBe('busy')
    expect(await evil.ask(await evil.request(e, { reqId, payload: otherPayload }))).toBe('reqid_conflict')
    // The wallet is stopped between the intent and the signature: no signature, and the try has failed.
    await two.storeS.setWalletState(ids[0], 'FROZEN', '')
    two.s.wipeWallet(ids[0])
    expect(await running).toBe('wallet_state')
    await two.storeS.setWalletState(ids[0], 'ACTIVE', '')
    two.s.wipeWallet(ids[0])
    Object.assign(two.storeS, { commitIntent, completeIntent })
    expect(await evil.ask(await evil.request(c, { reqId }))).toBe('unknown_presig')
    const [d] = (await evil.presignatures()) as [Presignature]
    expect(await evil.ask(await evil.request(d, { reqId }))).toBe('signed')
    await nothingHappened()
  })
})

describe('T26 disagreement', () => {
  it('about the message, the key, the path or the echo: class A, an alert, the presignature is gone, no strike', async () => {
    const evil = new Forger(two)
    const held = (await evil.presignatures(4)) as [Presignature, Presignature, Presignature, Presignature]
    const requests = [
      await evil.request(held[0], { message: sha256(otherPayload) }),
      flipped(await evil.request(held[1]), 110),
      flipped(await evil.request(held[2]), 140),
      // The path of the request without the key and the echo that belong to it.
      await evil.request(held[3], { path: [1] }).then((body) => replaced(body, 101, Uint8Array.of(2))),
    ]
    for (const [i, body] of requests.entries()) {
      expect(await evil.ask(body)).toBe('disagreement')
      expect(await evil.ask(await evil.request(held[i] as Presignature))).toBe('unknown_presig')
    }
    expect(two.alerts.filter((alert) => alert.startsWith('S:disagreement'))).toHaveLength(4)
    await nothingHappened()
    await honestSigns()
  })

  it('hidden by a forged echo, so that w is over m1 and S signs m2: SUSPENDED, no strike, no burn', async () => {
    const evil = new Forger(two)
    const [presignature] = (await evil.presignatures()) as [Presignature]
    const w = (await evil.request(presignature, { payload: otherPayload })).slice(150, 182)
    expect(await evil.ask(replaced(await evil.request(presignature), 150, w))).toBe('protocol')
    expect(await durable(two)).toMatchObject({ s: 'ACTIVE', strikesS: 0, burnsS: 0 })
    expect(await stateAtS()).toBe('SUSPENDED')
    expect(two.s.presignatureCount).toBe(0)
    await honestSigns(ids[1])
  })

  it('a decoder of S that differs costs an honest C no strike', async () => {
    const odd = await twoParties({ readPayload: () => ({ digest: sha256(otherPayload), summary: '' }) })
    const [wallet] = (await odd.newWallets(1)) as [Uint8Array]
    for (const ready of await odd.c.presign([wallet, wallet, wallet, wallet])) {
      expect(await endOf(odd.c.sign(jobOf(ready, payload)))).toBe('S:A:disagreement')
    }
    expect(await durable(odd)).toMatchObject({ c: 'ACTIVE', s: 'ACTIVE', strikesC: 0, strikesS: 0 })
  })
})

describe('T48 a damaged record', () => {
  const damages = ['share', 'pointC', 'pointS', 'publicKey'] as const
  it.each(damages)('%s: the wallet is QUARANTINED on load, nothing is sent, nothing burns', async (field) => {
    for (const store of [two.storeC, two.storeS]) {
      const slot = store.wallets.get(hexOf(store === two.storeC ? ids[0] : ids[1]))
      if (slot === undefined) throw new Error('no wallet')
      slot.record = { ...slot.record, [field]: field === 'share' ? toLe(5n) : slot.record[field].map((byte, at) => (at === 1 ? byte ^ 2 : byte)) }
    }
    expect(await two.c.presign([ids[0], ids[1]])).toEqual([])
    expect([two.storeC, two.storeS].map((store) => [...store.wallets.values()].map(({ record }) => record.state))).toEqual([
      ['QUARANTINED', 'ACTIVE'],
      ['ACTIVE', 'QUARANTINED'],
    ])
    expect(await durable(two)).toMatchObject({ c: 'ACTIVE', s: 'ACTIVE', strikesC: 0, strikesS: 0, burnsC: 0, burnsS: 0 })
    const [third] = await two.newWallets(1)
    const ready = await two.c.presign([ids[0], third as Uint8Array, ids[1]])
    expect(ready.map(({ walletId }) => hexOf(walletId))).toEqual([hexOf(third as Uint8Array)])
  })

  it('another chain code gives another sid: class A', async () => {
    const slot = two.storeS.wallets.get(hexOf(ids[0]))
    if (slot === undefined) throw new Error('no wallet')
    slot.record = { ...slot.record, chainCode: new Uint8Array(32) }
    expect(await endOf(two.c.presign([ids[0]]))).toBe('C:A:session')
    expect(await durable(two)).toMatchObject({ c: 'ACTIVE', s: 'ACTIVE', strikesC: 0, strikesS: 0 })
    two.clock.advance(3_000)
    await honestSigns(ids[1])
  })
})

describe('T41 plan games', () => {
  it('an unknown, stopped or foreign wallet, another epoch, the null slot: plan_refused with their numbers', async () => {
    const other = await twoParties({ idC: sha256(Buffer.from('another C')) })
    const [foreign] = (await other.newWallets(1)) as [Uint8Array]
    const evil = new MaliciousC(two)
    await two.storeS.setWalletState(ids[1], 'FROZEN', '')
    const { p2 } = await evil.begin([ids[0], ids[0], ids[0], ids[1], ids[0]], ([a, b, c, d, e]) => {
      const names = [a, { ...b, walletId: foreign }, { ...c, wEpoch: 1 }, d, { ...e, walletId: new Uint8Array(16) }]
      return names as never
    })
    expect(p2.refusal).toEqual({ code: 'plan_refused', slots: [1, 2, 3, 4] })
    await nothingHappened()
    expect((await two.c.presign([ids[0], ids[1], ids[0]])).map(({ walletId }) => hexOf(walletId))).toEqual([
      hexOf(ids[0]),
      hexOf(ids[0]),
    ])
  })

  it('C leaves out the slots that S refused, also when its own records left some out before', async () => {
    const [third] = (await two.newWallets(1)) as [Uint8Array]
    await two.storeC.setWalletState(ids[0], 'FROZEN', '')
    await two.storeS.setWalletState(ids[1], 'FROZEN', '')
    const ready = await two.c.presign([ids[0], ids[1], third])
    expect(ready.map(({ walletId }) => hexOf(walletId))).toEqual([hexOf(third)])
  })

  it('slots in another order in P3 are another sid: class A', async () => {
    const evil = new MaliciousC(two)
    const { c1, p2 } = await evil.begin([ids[0], ids[1]])
    const { c1: reordered } = await evil.begin([ids[1], ids[0]])
    expect(() => advancePresignC({ ...reordered, nonceC: c1.nonceC, comC: c1.comC }, p2)).toThrow('sid')
  })

  it('a wallet that is stopped in the middle ends the session as class A on S, and has no presignature on C', async () => {
    const evil = new MaliciousC(two)
    const run = await evil.untilP3([ids[0], ids[1]])
    await two.storeS.setWalletState(ids[1], 'FROZEN', '')
    two.s.wipeWallet(ids[1])
    expect((await evil.sendP3(run.sid, run.body)).refusal?.code).toBe('session')
    await nothingHappened()
    await two.storeS.setWalletState(ids[1], 'ACTIVE', '')
    two.wire.toC = (frame) => {
      two.c.wipeWallet(ids[1])
      return frame
    }
    const ready = await two.c.presign([ids[0], ids[1]])
    expect(ready.map(({ walletId }) => hexOf(walletId))).toEqual([hexOf(ids[0])])
  })

  it('a wallet that is stopped while S reads its record is refused', async () => {
    const { loadWallet } = two.storeS
    Object.assign(two.storeS, {
      loadWallet: async (walletId: Uint8Array) => {
        const record = await loadWallet(walletId)
        if (hexOf(walletId) === hexOf(ids[1])) two.s.wipeWallet(walletId)
        return record
      },
    })
    const { p2 } = await new MaliciousC(two).begin([ids[0], ids[1]])
    expect(p2.refusal).toEqual({ code: 'plan_refused', slots: [1] })
  })
})

describe('T50 T58 the order of a signature on S', () => {
  it('an intent that is not durable: nothing is answered, and the presignature is gone', async () => {
    const evil = new Forger(two)
    const [a, b] = (await evil.presignatures(2)) as [Presignature, Presignature]
    const { commitIntent, completeIntent } = two.storeS
    let completed = 0
    Object.assign(two.storeS, {
      commitIntent: () => Promise.reject(new Error('disk full')),
      completeIntent: () => {
        completed += 1
      },
    })
    await expect(evil.ask(await evil.request(a))).rejects.toThrow('disk full')
    expect(completed).toBe(0)
    Object.assign(two.storeS, { commitIntent, completeIntent })
    expect(await evil.ask(await evil.request(a))).toBe('unknown_presig')
    expect(await evil.ask(await evil.request(b))).toBe('signed')
    await nothingHappened()
  })

  it('the intent is durable before S touches the share-dependent part, and it is completed once', async () => {
    const evil = new Forger(two)
    const [a] = (await evil.presignatures()) as [Presignature]
    const order: string[] = []
    const { commitIntent, completeIntent } = two.storeS
    Object.assign(two.storeS, {
      commitIntent: async (intent: Parameters<typeof commitIntent>[0]) => {
        order.push('intent')
        const verdict = await commitIntent(intent)
        await new Promise((wake) => setTimeout(wake, 5))
        order.push('durable')
        return verdict
      },
      completeIntent: (...args: Parameters<typeof completeIntent>) => {
        order.push('completed')
        completeIntent(...args)
      },
    })
    const answer = evil.ask(await evil.request(a)).then((end) => order.push(end))
    await answer
    expect(order).toEqual(['intent', 'durable', 'completed', 'signed'])
  })

  it('a completion that cannot be noted releases nothing', async () => {
    const evil = new Forger(two)
    const [a] = (await evil.presignatures()) as [Presignature]
    Object.assign(two.storeS, {
      completeIntent: () => {
        throw new Error('disk full')
      },
    })
    await expect(evil.ask(await evil.request(a))).rejects.toThrow('disk full')
  })

  it('T58 a presignature or an R that an intent named before: the wallet is SUSPENDED and nothing is signed', async () => {
    const evil = new Forger(two)
    const held = (await evil.presignatures(2)) as [Presignature, Presignature]
    const intent = { walletId: ids[0], wEpoch: 0, reqId: new Uint8Array(randomBytes(16)), digest: sha256(otherPayload) }
    const rest = { payload: otherPayload, summary: '', requestKey: new Uint8Array(32) }
    const { presigId } = held[0]
    // As in a vault put back: the id was used for another digest, with another R.
    await two.storeS.commitIntent({ ...intent, ...rest, presigId, noncePoint: new Uint8Array(33).fill(9) })
    expect(await evil.ask(await evil.request(held[0]))).toBe('wallet_state')
    expect(await stateAtS()).toBe('SUSPENDED')
    expect(two.s.presignatureCount).toBe(0)
    expect(await evil.ask(await evil.request(held[1]))).toBe('unknown_presig')
    expect(await durable(two)).toMatchObject({ s: 'ACTIVE', strikesS: 0, burnsS: 0 })
    const again = await two.restart()
    expect(await again.c.presign([ids[0]])).toEqual([])
    expect(await again.c.presign([ids[1]])).toHaveLength(1)
  })

  it('T58 while the suspension is being written, the wallet signs nothing', async () => {
    const evil = new Forger(two)
    const held = (await evil.presignatures(1)) as [Presignature]
    const [other] = (await evil.presignatures(1)) as [Presignature]
    const { setWalletState, commitIntent } = two.storeS
    Object.assign(two.storeS, {
      setWalletState: async (...args: Parameters<typeof setWalletState>) => {
        await new Promise((wake) => setTimeout(wake, 20))
        return setWalletState(...args)
      },
    })
    const w = (await evil.request(held[0], { payload: otherPayload })).slice(150, 182)
    const bad = evil.ask(replaced(await evil.request(held[0]), 150, w))
    await new Promise((wake) => setTimeout(wake, 5))
    expect(await evil.ask(await evil.request(other))).toBe('unknown_presig')
    const [late] = (await evil.presignatures(1)) as [Presignature]
    expect(await evil.ask(await evil.request(late))).toBe('wallet_state')
    expect(await bad).toBe('protocol')
    Object.assign(two.storeS, { setWalletState, commitIntent })
    expect(two.s.presignatureCount).toBe(0)
    expect(await stateAtS()).toBe('SUSPENDED')
  })
})

describe('T2 replay', () => {
  it('every frame of C again, in the session, after it and after a restart: never a second result', async () => {
    const frames: Uint8Array[] = []
    two.wire.toS = (frame) => {
      frames.push(frame.slice())
      return frame
    }
    two.linkC.wipeMaterial()
    const [ready] = await two.c.presign([ids[0]])
    const signature = await two.c.sign(jobOf(ready as NonNullable<typeof ready>, payload))
    two.wire.toS = (frame) => frame
    const { L1, P1, SIGN_REQUEST } = FRAME_TYPES
    for (const target of [two, await two.restart()]) {
      const before = target.s.presignatureCount
      for (const frame of frames) {
        const answer = await target.s.answer(frame)
        const [type, code] = [answer?.[5], answer?.[64]]
        if (frame[5] === SIGN_REQUEST) expect(hexOf(answer?.subarray(80, 112) as Uint8Array)).toBe(hexOf(signature.r))
        // A first message may open a session, which nobody can go on with; L1 is of an epoch gone by.
        else if (frame[5] === L1) expect(code === 5 || code === 1).toBe(true)
        else if (frame[5] === P1) expect([FRAME_TYPES.P2, FRAME_TYPES.ERROR]).toContain(type)
        else expect([type, code]).toEqual([FRAME_TYPES.ERROR, 4])
      }
      expect(target.s.presignatureCount).toBe(before)
    }
    expect(await durable(two)).toMatchObject({ strikesS: 0, burnsS: 0 })
  })

  it('P3 twice with different contents in one tick: one answer', async () => {
    const evil = new MaliciousC(two)
    const run = await evil.untilP3([ids[0]])
    const [first, second] = await Promise.all([
      evil.sendP3(run.sid, run.body),
      evil.sendP3(run.sid, flipped(run.body, 3)),
    ])
    expect(first.refusal).toBeUndefined()
    expect(second.refusal?.code).toBe('session')
    await nothingHappened()
  })
})

describe('T3 mixing', () => {
  it('the P3 of one session under the sid of another, of the other link and of the other direction', async () => {
    const evil = new MaliciousC(two)
    const first = await evil.untilP3([ids[0]])
    two.clock.advance(3_000)
    const second = await evil.untilP3([ids[0]])
    expect((await evil.sendP3(first.sid, second.body)).refusal?.code).toBe('session')
    expect((await evil.sendP3(second.sid, first.body)).refusal?.code).toBe('protocol')
    expect(await durable(two)).toMatchObject({ s: 'ACTIVE', strikesS: 1, burnsS: 0 })
    const other = await twoParties({ idC: sha256(Buffer.from('another C')) })
    const [foreign] = (await other.newWallets(1)) as [Uint8Array]
    await other.c.warm()
    const elsewhere = await new MaliciousC(other).untilP3([foreign])
    const third = await evil.untilP3([ids[0]])
    expect((await evil.sendP3(third.sid, elsewhere.body)).refusal?.code).toBe('protocol')
    // S's own extension and multiplication in the place of C's.
    const fourth = await evil.untilP3([ids[0]])
    const reflected = replaced(fourth.body, 0, fourth.p2.body.subarray(64))
    expect((await evil.sendP3(fourth.sid, reflected)).refusal?.code).toBe('link_burned')
  })
})

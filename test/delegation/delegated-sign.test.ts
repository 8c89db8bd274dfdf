/** A delegate and its granting daemon: a refresh first, then signatures, each of which the daemon decides. */
import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { compressPoint, verifySignature } from '../../src/engine/curve/secp256k1.ts'
import { verifySignature as verifyEd25519 } from '../../src/engine/curve/ed25519.ts'
import { ALG_ED25519 } from '../../src/engine/dkls23/suite.ts'
import type { SigningContent, SigningMethod } from '../../src/payload/signing-payload.ts'
import { encodeUnsignedTransaction } from '../../src/payload/transaction.ts'
import { parseTransactionFields } from '../../src/payload/transaction-fields.ts'
import { readAuditPage } from '../../src/vault/audit-page.ts'
import { addFreeze, removeFreeze } from '../../src/vault/freezes.ts'
import { getShare } from '../../src/vault/wallet-shares.ts'
import { setWalletState } from '../../src/vault/wallets.ts'
import {
  activeDelegate,
  closeGranting,
  type Delegate,
  edJobFor,
  grant,
  type Granting,
  type GrantOptions,
  jobFor,
  joinDelegate,
  joinStage,
  messageOf,
  openGranting,
  openStage,
  Refused,
  sessionCarrier,
} from './granting-scene.ts'

let own: Granting['own']
let stage: Granting['stage']
beforeAll(async () => {
  ({ own, stage } = await openGranting())
})
afterAll(() => closeGranting({ own, stage }))

const TO = '0x11e9ca82a3a762b4b5bd264d4173a242e7a77064'
const transferOf = (chainId: bigint, wei: bigint): SigningContent => ({
  kind: 'transaction',
  unsigned: encodeUnsignedTransaction(
    parseTransactionFields({
      type: 'dynamic-fee', chainId, nonce: 0n, gasLimit: 21_000n, maxFeePerGas: '1', to: TO, value: String(wei),
    }),
  ),
})
const typedData: SigningContent = {
  kind: 'typed-data',
  json: new Uint8Array(
    Buffer.from(
      JSON.stringify({
        types: { EIP712Domain: [{ name: 'name', type: 'string' }], Note: [{ name: 'text', type: 'string' }] },
        primaryType: 'Note',
        domain: { name: 'test' },
        message: { text: 'hello' },
      }),
    ),
  ),
}
const digest: SigningContent = { kind: 'digest', digest: new Uint8Array(32).fill(7) }

/** What came of asking: `signed`, or the reason of the daemon, or the protocol's code. */
const outcomeOf = async (work: Promise<unknown>): Promise<string> => {
  try {
    await work
    return 'signed'
  } catch (error) {
    if (error instanceof Refused) return error.answer.refusal?.reason ?? 'no reason'
    const { refusal } = error as { readonly refusal?: { readonly code: string } }
    return refusal?.code ?? String(error)
  }
}

const ask = async (
  delegate: Delegate,
  content: SigningContent,
  method: SigningMethod = 'SignMessage',
  reqId?: Uint8Array,
): Promise<string> => {
  const [ready] = await delegate.c.presign([delegate.walletId])
  return outcomeOf(delegate.c.sign(jobFor(delegate.granted, ready!, content, method, reqId)))
}

const lastRow = async (kind: string) => {
  const { rows } = await readAuditPage(own.vault.read, 0n, 100_000, { filter: { kind } })
  return rows.at(-1)
}

const active = async (options: GrantOptions = {}): Promise<Delegate> => activeDelegate(stage, await grant(own.vault, options))

describe('a delegated wallet', () => {
  it('makes nothing before its first refresh, which makes it ACTIVE and leaves the first share nowhere', async () => {
    const granted = await grant(own.vault)
    const { accessId } = granted.access
    const delegate = await joinDelegate(stage, granted)
    expect(await delegate.c.presign([delegate.walletId])).toEqual([])
    expect(stage.accessOf(accessId).state).toBe('PENDING')
    await delegate.c.refreshes.refresh(delegate.walletId)
    const { state, activateMs } = stage.accessOf(accessId)
    expect([state, activateMs !== undefined]).toEqual(['ACTIVE', true])
    const share = getShare(own.vault.read, delegate.walletId)
    expect([share?.state, share?.wEpoch, getShare(own.vault.read, delegate.walletId, 'pending')]).toEqual(['ACTIVE', 1, undefined])
    expect(await lastRow('delegated_access.activated')).toMatchObject({ subject: { type: 'delegated_access', id: accessId } })
    delegate.carrier.close()
  })

  it('signs what it may, and the daemon has written down first what and for whom', async () => {
    const delegate = await active()
    const { granted } = delegate
    for (const [content, method] of [[messageOf('hello'), 'SignMessage'], [typedData, 'SignTypedData'], [transferOf(1n, 5n), 'SignTransaction']] as const) {
      const [ready] = await delegate.c.presign([delegate.walletId])
      const job = jobFor(granted, ready!, content, method)
      const { r, s } = await delegate.c.sign(job)
      expect(verifySignature(r, s, job.digest, compressPoint(granted.wallet.publicKey))).toBe(true)
      const row = await lastRow('sign.intent')
      expect(row).toMatchObject({
        actor: { kind: 'delegate', id: `delegate:${granted.access.accessId}` },
        subject: { type: 'wallet', id: granted.wallet.walletId },
        method,
        decision: 'allow',
        details: { digest: Buffer.from(job.digest).toString('hex'), delegatedAccess: granted.access.accessId },
      })
      expect(delegate.answers.at(-1)?.receipt?.sequence).toBe(row?.sequence)
    }
    delegate.carrier.close()
  })

  it('signs nothing that its access does not list', async () => {
    const delegate = await active({ terms: { operations: ['message'] } })
    expect(await ask(delegate, typedData, 'SignTypedData')).toBe('PERMISSION_MISSING')
    expect(await ask(delegate, transferOf(1n, 1n), 'SignTransaction')).toBe('PERMISSION_MISSING')
    expect(await ask(delegate, digest, 'SignDigest')).toBe('PERMISSION_MISSING')
    // A digest is one whatever RPC it is said to be of.
    expect(await ask(delegate, digest, 'SignMessage')).toBe('PERMISSION_MISSING')
    const authorization: SigningContent = { kind: 'authorization', chainId: 1n, address: new Uint8Array(20).fill(3), nonce: 0n }
    expect(await ask(delegate, authorization, 'SignAuthorization')).toBe('PERMISSION_MISSING')
    expect(await lastRow('sign.denied')).toMatchObject({ reason: 'PERMISSION_MISSING', actor: { kind: 'delegate' } })
    expect(await ask(delegate, messageOf('still'))).toBe('signed')
    delegate.carrier.close()
  })

  it('keeps to its chains and its caps, which count what was signed before', async () => {
    const native = 'eip155:5/native'
    const narrowing = { chains: ['eip155:5'], max_per_transaction: { [native]: '60' }, max_per_day: { [native]: '100' } }
    const delegate = await active({ terms: { operations: ['transaction', 'digest'], narrowing } })
    const pay = (chainId: bigint, wei: bigint, reqId?: Uint8Array) => ask(delegate, transferOf(chainId, wei), 'SignTransaction', reqId)
    expect(await pay(1n, 1n)).toBe('PERMISSION_MISSING')
    expect(await pay(5n, 61n)).toBe('LIMIT_EXCEEDED')
    const reqId = new Uint8Array(randomBytes(16))
    expect(await pay(5n, 60n, reqId)).toBe('signed')
    // The same request again is the same signature, and paid once.
    expect(await pay(5n, 60n, reqId)).toBe('signed')
    expect(await pay(5n, 50n, reqId)).toBe('reqid_conflict')
    expect(await pay(5n, 41n)).toBe('LIMIT_EXCEEDED')
    expect(await pay(5n, 40n)).toBe('signed')
    expect(await ask(delegate, digest, 'SignDigest')).toBe('PERMISSION_MISSING')
    delegate.carrier.close()
  })

  it('is stopped by what stops its wallet: a freeze, the archive, a suspension', async () => {
    const delegate = await active()
    const { walletId } = delegate.granted.wallet
    const stops = [
      { scope: 'wallet', id: walletId },
      { scope: 'project', id: 'default' },
      { scope: 'all', id: '' },
    ] as const
    for (const subject of stops) {
      await own.vault.commit((tx) => addFreeze(tx, { ...subject, reason: '', actor: { kind: 'operator', id: '' }, createMs: Date.now() }))
      expect(await ask(delegate, messageOf('x')), subject.scope).toBe('FROZEN')
      await own.vault.commit((tx) => removeFreeze(tx, subject))
    }
    stage.needs.fences.raise({ scope: 'wallet', id: walletId }).catch(() => undefined)
    expect(await outcomeOf(ask(delegate, messageOf('x')))).toBe('FROZEN')
    stage.needs.fences.lower({ scope: 'wallet', id: walletId })
    expect(await ask(delegate, messageOf('x'))).toBe('signed')
    await own.vault.commit((tx) => setWalletState(tx, walletId, 'SUSPENDED'))
    expect(await ask(delegate, messageOf('x'))).toBe('WALLET_SUSPENDED')
    await own.vault.commit((tx) => setWalletState(tx, walletId, 'ARCHIVED'))
    expect(await ask(delegate, messageOf('x'))).toBe('WALLET_ARCHIVED')
    delegate.carrier.close()
  })

  it('signs with Ed25519 as well', async () => {
    const delegate = await active({ alg: ALG_ED25519, terms: { operations: ['message'] } })
    const sign = async (content: SigningContent, method: SigningMethod) => {
      const [ready] = await delegate.c.ed.presign([delegate.walletId])
      const job = edJobFor(delegate.granted, ready!, content, method)
      return { job, signature: await delegate.c.ed.sign(job) }
    }
    const { job, signature } = await sign(messageOf('hello'), 'SignMessage')
    expect(verifyEd25519(signature, job.message, delegate.granted.wallet.publicKey)).toBe(true)
    expect(delegate.answers.at(-1)?.receipt?.sequence).toBe((await lastRow('sign.intent'))?.sequence)
    delegate.carrier.close()
  })
})

describe('an answer that its delegate does not read yet', () => {
  /** The frames that ask for these, unsent, and a stream to send them over. */
  const unsent = async (delegate: Delegate, work: () => Promise<unknown>) => {
    const session = await joinStage(stage, delegate.granted)
    const frames: Uint8Array[] = []
    delegate.wire.toS = (frame) => {
      frames.push(frame.slice())
      throw new Error('kept back')
    }
    await work().catch(() => undefined)
    delegate.wire.toS = (frame) => frame
    return { session, frames }
  }

  it('is not released once the wallet was archived meanwhile, though the fence is down again', async () => {
    const delegate = await active()
    const { walletId } = delegate.granted.wallet
    const [ready] = await delegate.c.presign([delegate.walletId])
    const { session, frames } = await unsent(delegate, () => delegate.c.sign(jobFor(delegate.granted, ready!, messageOf('x'))))
    const release = await session.frame(frames[0]!)
    await stage.needs.fences.during({ scope: 'wallet', id: walletId }, () =>
      own.vault.commit((tx) => void setWalletState(tx, walletId, 'ARCHIVED')),
    )
    expect(release()).toMatchObject({ frame: undefined, refusal: { reason: 'WALLET_ARCHIVED' } })
    session.close()
    delegate.carrier.close()
  })

  it('is not released when it was asked for behind a fence', async () => {
    const delegate = await active()
    const { walletId } = delegate.granted.wallet
    const [ready] = await delegate.c.presign([delegate.walletId])
    const { session, frames } = await unsent(delegate, () => delegate.c.sign(jobFor(delegate.granted, ready!, messageOf('x'))))
    const fence = { scope: 'wallet', id: walletId } as const
    void stage.needs.fences.raise(fence)
    const asked = session.frame(frames[0]!)
    stage.needs.fences.lower(fence)
    expect((await asked)()).toMatchObject({ refusal: { reason: 'FROZEN' } })
    session.close()
    delegate.carrier.close()
  })
})

describe('a daemon that was started again', () => {
  it('signs with the same share after a set-up; what both had made before is of no use', async () => {
    const delegate = await active()
    const [before] = await delegate.c.presign([delegate.walletId])
    const share = getShare(own.vault.read, delegate.walletId)
    await stage.delegates.close()
    stage = openStage(own.vault)
    await delegate.reconnect(sessionCarrier(await joinStage(stage, delegate.granted)))
    await expect(delegate.c.sign(jobFor(delegate.granted, before!, messageOf('x')))).rejects.toThrow('unknown')
    expect(await ask(delegate, messageOf('x'))).toBe('signed')
    expect(getShare(own.vault.read, delegate.walletId)?.ciphertext).toEqual(share?.ciphertext)
  })
})

describe('a new root key', () => {
  it('changes nothing for who is joined', async () => {
    const delegate = await active()
    await own.vault.rotateRoot({ provider: own.place.provider, renewsProvider: false, event: { timeMs: Date.now(), kind: 'vault.key_rotated', actor: { kind: 'operator', id: '' } } } as never)
    await stage.delegates.renewShareKey()
    await own.vault.rewrapShares()
    expect(await ask(delegate, messageOf('x'))).toBe('signed')
    delegate.carrier.close()
  })
})

describe('time', () => {
  it('ends an access at use, whether or not anything has swept it', async () => {
    const delegate = await active({ expireMs: Date.now() + 1_000_000 })
    const [ready, late] = await delegate.c.presign([delegate.walletId, delegate.walletId])
    const { clock } = stage.cosign
    Object.assign(stage.cosign, { clock: { ...clock, nowMs: () => Date.now() + 1_000_001 } })
    const signing = (one: typeof ready) => delegate.c.sign(jobFor(delegate.granted, one!, messageOf('late')))
    await expect(signing(ready)).rejects.toMatchObject({ reason: 'DELEGATED_ACCESS_EXPIRED' })
    Object.assign(stage.cosign, { clock })
    expect(await outcomeOf(signing(late))).toBe('signed')
    expect(await stage.accessEnds.endExpired(Date.now() + 1_000_001)).toBe(1)
    expect(stage.accessOf(delegate.granted.access.accessId)).toMatchObject({ state: 'EXPIRED', endReason: 'time' })
    expect(getShare(own.vault.read, delegate.walletId)).toBeUndefined()
    await expect(delegate.c.connect()).rejects.toMatchObject({ reason: 'DELEGATED_ACCESS_EXPIRED' })
  })
})

/** RefreshShares through the running daemon: what stays, what goes, who is refused, and what an older copy is worth. */
import Database from 'better-sqlite3'
import { createPublicKey, randomUUID, verify } from 'node:crypto'
import { cpSync, existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { verifyMessage } from 'viem'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { FreezeScope } from '../../gen/countersign/v1/admin_pb.ts'
import { KeyType } from '../../gen/countersign/v1/common_pb.ts'
import { PoolMode } from '../../gen/countersign/v1/wallet_pb.ts'
import type { CountersignClient } from '../../src/client/countersign-client.ts'
import { decodeError } from '../../src/client/countersign-error.ts'
import { connect, newKey, newWallet, outcomeOf, reasonOf, refusalOf } from './callers.ts'
import { makeDataDir, runCli, startDaemon, type TestDaemon } from './start-daemon.ts'

vi.setConfig({ testTimeout: 60_000, hookTimeout: 120_000 })

const text = (value: string) => ({ case: 'text', value }) as const
const signWith = (client: CountersignClient, wallet: string, value = 'x') =>
  client.wallets.signMessage({ wallet, content: text(value) })

describe('a running daemon', () => {
  let daemon: TestDaemon
  let client: CountersignClient
  beforeAll(async () => {
    daemon = await startDaemon()
    client = connect(daemon, daemon.adminKey)
  })
  afterAll(async () => {
    client.close()
    await daemon[Symbol.asyncDispose]()
  })
  const ask = (wallet: string) => client.wallets.refreshShares({ wallet })
  /** Waits where the project has made its eight of this second. */
  const refresh = async (wallet: string): ReturnType<typeof ask> => {
    for (;;) {
      const call = ask(wallet)
      const refusal = await call.then(() => undefined, decodeError)
      if (refusal?.reason !== 'RATE_LIMITED') return call
      await sleep(refusal.retryAfterMs ?? 100)
    }
  }

  it('renews the link for a share that signed, once a minute: what comes sooner is told how long to wait', async () => {
    const [first, second] = [await newWallet(client, 'healed'), await newWallet(client, 'healed-too')]
    for (const { walletId } of [first, second]) await signWith(client, walletId)
    // Both wait for the same set-up.
    const answers = await Promise.all([first, second].map(({ walletId }) => refresh(walletId)))
    expect(answers.map(({ refreshCount }) => refreshCount)).toEqual([1, 1])
    for (const [i, before] of [first, second].entries()) {
      expect(answers[i]?.wallet).toEqual({ ...before, walletEpoch: 1 })
      const { signature } = await signWith(client, before.walletId, 'after')
      const args = { address: before.address, message: 'after', signature: signature?.hex } as Parameters<typeof verifyMessage>[0]
      expect(await verifyMessage(args)).toBe(true)
    }
    const refusal = await refusalOf(refresh(first.walletId))
    expect(refusal).toMatchObject({ code: 'RESOURCE_EXHAUSTED', reason: 'REFRESH_NOT_DUE', retryable: 'yes' })
    expect(Number(refusal.metadata['retryAfterMs'])).toBeGreaterThan(30_000)
    expect(Number(refusal.metadata['retryAfterMs'])).toBeLessThanOrEqual(60_000)
    // Nothing was done: its presignatures are still there.
    const ask = { wallet: first.walletId, content: text('x'), poolMode: PoolMode.FAIL }
    expect(await outcomeOf(client.wallets.signMessage(ask))).toBe('signed')
  })

  it('changes the shares of an Ed25519 wallet at once, as often as it is asked for', async () => {
    const wallet = await newWallet(client, 'stays', '', KeyType.ED25519)
    for (let count = 1; count <= 3; count++) {
      const answer = await refresh(wallet.walletId)
      expect(answer).toMatchObject({ wallet: { ...wallet, walletEpoch: count }, refreshCount: count })
      expect(answer.refreshTime).toBeDefined()
      const { signature } = await signWith(client, wallet.walletId, 'after')
      const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: Buffer.from(wallet.publicKey, 'hex').toString('base64url') }, format: 'jwk' })
      expect(verify(null, Buffer.from('after'), key, signature?.raw ?? new Uint8Array())).toBe(true)
    }
  })

  it('is a row in both audit chains, and the receipt names the daemon’s', async () => {
    const wallet = await newWallet(client, 'audited', '', KeyType.ED25519)
    const requestId = randomUUID()
    const { receipt } = await client.wallets.refreshShares({ wallet: 'audited', requestId })
    const { events } = await client.audit.listEvents({ subject: wallet.walletId, kind: 'wallet.refreshed' })
    expect(events).toHaveLength(1)
    expect(events[0]).toMatchObject({ sequence: receipt?.sequence, method: 'RefreshShares', requestId })
    expect(JSON.parse(events[0]?.detailsJson ?? '{}')).toEqual({ shareEpoch: 1 })
  })

  it('a repeat under its request id answers the same and changes nothing; another body is refused', async () => {
    await newWallet(client, 'repeated', '', KeyType.ED25519)
    const requestId = randomUUID()
    const calls = Array.from({ length: 5 }, () => client.wallets.refreshShares({ wallet: 'repeated', requestId }))
    const answers = await Promise.all(calls)
    for (const answer of answers) expect(answer).toEqual(answers[0])
    expect((await refresh('repeated')).refreshCount).toBe(2)
    const other = client.wallets.refreshShares({ wallet: 'audited', requestId })
    expect(await reasonOf(other)).toBe('IDEMPOTENCY_MISMATCH')
  })

  it('goes by while others sign with the wallet: nothing is refused, all of it verifies', async () => {
    await newWallet(client, 'busy', '', KeyType.ED25519)
    const fair = await newWallet(client, 'busy-evm')
    const done = new AbortController()
    const signing = ['busy', fair.walletId].map(async (wallet) => {
      const outcomes = new Map<string, number>()
      while (!done.signal.aborted) {
        const outcome = await outcomeOf(signWith(client, wallet))
        outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
      }
      return [...outcomes.keys()]
    })
    const counts: number[] = []
    for (let i = 0; i < 6; i++) counts.push((await refresh('busy')).refreshCount)
    expect(counts).toEqual([1, 2, 3, 4, 5, 6])
    done.abort()
    expect(await Promise.all(signing)).toEqual([['signed'], ['signed']])
  })

  it('four calls at once for one wallet: four epochs, one after the other', async () => {
    await newWallet(client, 'queued', '', KeyType.ED25519)
    const answers = await Promise.all([1, 2, 3, 4].map(() => refresh('queued')))
    expect(answers.map(({ refreshCount }) => refreshCount).toSorted((a, b) => a - b)).toEqual([1, 2, 3, 4])
    expect(await outcomeOf(signWith(client, 'queued'))).toBe('signed')
  })

  it('refuses archived, frozen and foreign wallets, and keys without the permission', async () => {
    const wallet = await newWallet(client, 'refused', '', KeyType.ED25519)
    const { secret } = await newKey(client, [{ name: 'wallet:sign' }, { name: 'wallet:read' }])
    const weak = connect(daemon, secret)
    expect(await reasonOf(weak.wallets.refreshShares({ wallet: 'refused' }))).toBe('PERMISSION_MISSING')
    weak.close()
    for (const target of [
      { scope: FreezeScope.WALLET, id: wallet.walletId },
      { scope: FreezeScope.PROJECT, id: 'default' },
      { scope: FreezeScope.EVERYTHING, id: '' },
    ]) {
      await client.admin.freeze({ ...target, note: 'test' })
      expect(await reasonOf(refresh('refused'))).toBe('FROZEN')
      await client.admin.unfreeze(target)
    }
    expect((await refresh('refused')).refreshCount).toBe(1)
    await client.wallets.archiveWallet({ wallet: 'refused' })
    expect(await reasonOf(refresh(wallet.walletId))).toBe('WALLET_ARCHIVED')
    expect(await reasonOf(refresh('nobody'))).toBe('WALLET_NOT_FOUND')
  })

  it('races with a freeze and with archiving: each refresh happened or did not, and nothing signs afterwards', async () => {
    for (let i = 0; i < 4; i++) {
      const wallet = await newWallet(client, `raced-${i}`, '', KeyType.ED25519)
      const target = { scope: FreezeScope.WALLET, id: wallet.walletId }
      const stop = i % 2 === 0 ? client.admin.freeze({ ...target, note: 'race' }) : client.wallets.archiveWallet({ wallet: wallet.walletId })
      const [outcome] = await Promise.all([outcomeOf(refresh(wallet.walletId)), stop])
      expect(['signed', 'FROZEN', 'WALLET_ARCHIVED']).toContain(outcome)
      expect(await outcomeOf(signWith(client, wallet.walletId))).toBe(i % 2 === 0 ? 'FROZEN' : 'WALLET_ARCHIVED')
      if (i % 2 !== 0) continue
      await client.admin.unfreeze(target)
      expect(await outcomeOf(signWith(client, wallet.walletId))).toBe('signed')
      expect((await refresh(wallet.walletId)).refreshCount).toBe(outcome === 'signed' ? 2 : 1)
    }
  })

  it('from the command line', async () => {
    const run = await runCli(['wallet', 'refresh', 'stays', '--data-dir', daemon.dataDir])
    expect(run).toMatchObject({ code: 0 })
    expect(run.stdout).toMatch(/refresh_count +4/)
    const json = await runCli(['wallet', 'refresh', 'stays', '--json', '--data-dir', daemon.dataDir])
    expect(JSON.parse(json.stdout)).toMatchObject({ refreshCount: 5, wallet: { userId: 'stays' } })
    expect((await runCli(['wallet', 'refresh', 'nobody', '--data-dir', daemon.dataDir])).code).toBe(1)
  })

  it('a project makes eight a second', async () => {
    await newWallet(client, 'hammered', '', KeyType.ED25519)
    const outcomes = await Promise.all(Array.from({ length: 20 }, () => outcomeOf(ask('hammered'))))
    expect(new Set(outcomes)).toEqual(new Set(['signed', 'RATE_LIMITED']))
  })
})

type Files = { readonly base: string; readonly file: (name: string) => string }
const files = (): Files => {
  const base = makeDataDir()
  return { base, file: (name) => join(base, 'data', name) }
}

describe('older copies', () => {
  const VAULTS = ['vault.db', 'cosigner.db'] as const
  const { base, file } = files()
  let daemon: TestDaemon
  let client: CountersignClient
  const start = async (): Promise<void> => {
    daemon = await startDaemon({ dataDir: base, keepData: true })
    client = connect(daemon, daemon.adminKey)
  }
  const stop = async (signal: NodeJS.Signals): Promise<void> => {
    client.close()
    await daemon.kill(signal)
  }
  /** A closed vault, or one whose daemon died, with what lies beside it. */
  const copy = (name: string, from: string, to: string): void => {
    for (const suffix of ['', '-wal', '-shm']) {
      const [source, target] = [file(`${name}${from}${suffix}`), file(`${name}${to}${suffix}`)]
      rmSync(target, { force: true })
      if (existsSync(source)) cpSync(source, target)
    }
  }
  afterAll(async () => {
    await stop('SIGKILL')
    rmSync(base, { recursive: true, force: true })
  })

  it('the old records’ bytes are in no file of either vault when the answer arrives', async () => {
    await start()
    const copied: Buffer[] = []
    for (const keyType of [KeyType.SECP256K1, KeyType.ED25519]) {
      const { walletId } = await newWallet(client, `copied-${keyType}`, '', keyType)
      copied.push(Buffer.from(walletId.slice(4), 'hex'))
    }
    await newWallet(client, 'unharmed')
    await signWith(client, 'copied-1')
    await stop('SIGTERM')
    for (const name of VAULTS) copy(name, '', '.old')
    const sealed = VAULTS.map((name) => {
      const db = new Database(file(name), { readonly: true })
      const sql = 'SELECT wrapped_key, nonce, ciphertext FROM wallet_shares WHERE wallet_id IN (?, ?)'
      const rows = db.prepare(sql).raw().all(...copied) as Buffer[][]
      db.close()
      return rows.flat()
    })
    expect(sealed.map((cells) => cells.length)).toEqual([6, 6])
    const present = (): number[] =>
      VAULTS.map((name, i) => {
        const held = Buffer.concat(['', '-wal'].flatMap((end) => (existsSync(file(name) + end) ? [readFileSync(file(name) + end)] : [])))
        return (sealed[i] ?? []).filter((cell) => held.includes(cell)).length
      })
    expect(present()).toEqual([6, 6])
    await start()
    for (const wallet of ['copied-1', 'copied-2']) expect((await client.wallets.refreshShares({ wallet })).refreshCount).toBe(1)
    await stop('SIGKILL')
    expect(present()).toEqual([0, 0])
  })

  it.each(VAULTS)('%s of before the refresh, put back: nothing is signed, and the reason says why', async (name) => {
    copy(name, '', '.new')
    copy(name, '.old', '')
    const started = await start().then(
      () => 'started',
      (error: unknown) => String(error),
    )
    if (name === 'vault.db') {
      expect(started).toMatch(/VAULT_ROLLED_BACK|rolled back/)
    } else {
      const refusal = await refusalOf(signWith(client, 'copied-1'))
      expect(refusal.reason).toBe('COSIGNER_UNAVAILABLE')
      expect(refusal.message).toMatch(/older than the one last seen/)
      expect(await reasonOf(client.wallets.refreshShares({ wallet: 'copied-2' }))).toBe('COSIGNER_UNAVAILABLE')
      await stop('SIGKILL')
    }
    copy(name, '.new', '')
    await start()
    for (const wallet of ['copied-1', 'copied-2']) expect(await outcomeOf(signWith(client, wallet))).toBe('signed')
    await stop('SIGTERM')
  })

  /** As somebody would who wants the old share to count again: the other side's memory of the chain is made to fit. */
  it('an older cosigner that the daemon is made to accept: the wallet stops at both', async () => {
    copy('cosigner.db', '', '.new')
    copy('vault.db', '', '.kept')
    copy('cosigner.db', '.old', '')
    const db = new Database(file('vault.db'))
    db.exec('DELETE FROM peer_heads')
    db.close()
    const peer = new Database(file('cosigner.db'))
    peer.exec('DELETE FROM peer_heads')
    peer.close()
    await start()
    for (const wallet of ['copied-1', 'copied-2']) {
      expect(await outcomeOf(signWith(client, wallet))).toBe('WALLET_SUSPENDED')
      expect(await outcomeOf(client.wallets.refreshShares({ wallet }))).toBe('WALLET_SUSPENDED')
    }
    // A wallet of the same link that was never refreshed goes on.
    expect(await outcomeOf(signWith(client, 'unharmed'))).toBe('signed')
    await stop('SIGTERM')
    const states = VAULTS.map((name) => {
      const held = new Database(file(name), { readonly: true })
      const rows = held.prepare(`SELECT DISTINCT state FROM wallet_shares WHERE state <> 'ACTIVE'`).pluck().all()
      held.close()
      return rows
    })
    expect(states).toEqual([['QUARANTINED'], ['QUARANTINED']])
  })
})

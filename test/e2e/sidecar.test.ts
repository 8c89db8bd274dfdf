/** A sidecar signs with what another daemon delegated: two processes, each with a vault, and the protocol between them. */
import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { getAddress, type Hex, hashMessage, recoverAddress, recoverTransactionAddress, verifyMessage, verifyTypedData } from 'viem'
import { DelegatedAccessState } from '../../gen/countersign/v1/delegated_access_pb.ts'
import { ImportedAccessState } from '../../gen/countersign/v1/delegate_side_pb.ts'
import type { CountersignClient } from '../../src/client/countersign-client.ts'
import type { CountersignError } from '../../src/client/countersign-error.ts'
import { createDelegatedEvmClient, DelegationRefused, fileState, openDelegatedDelivery } from '../../src/client/delegated-evm-client.ts'
import { decodeLinkRecord, encodeLinkRecord } from '../../src/engine/dkls23/records.ts'
import { ALG_ED25519 } from '../../src/engine/dkls23/suite.ts'
import { PeerUnavailable } from '../../src/party/counterparty.ts'
import { listDelegationLinks } from '../../src/party/delegation-links.ts'
import { grantRelink } from '../../src/party/relink-grant.ts'
import { getLink, saveLink } from '../../src/vault/links.ts'
import { newIdentity } from '../delegation/granting-scene.ts'
import { FOREIGN_SHARE, receiver, sealForeign, signatureOf } from '../delegation/seal-delivery.ts'
import { connect, newKey, reasonOf, refusalOf } from './callers.ts'
import { fresh } from './fresh.ts'
import { addressOf as addressOfKey, prepareDataDir, startSidecar, type Sidecar, WEBHOOK_SECRET } from './start-sidecar.ts'

vi.setConfig({ testTimeout: 60_000, hookTimeout: 120_000 })

/** A delegate that has no daemon. */
const library = newIdentity()
let pair: Sidecar
let client: CountersignClient

beforeAll(async () => {
  pair = await startSidecar([{}, {}, { alg: ALG_ED25519 }, {}, { identity: library }, { identity: library }])
  client = connect(pair.sidecar, pair.sidecar.adminKey)
  const privateKeyPem = receiver.privateKey.export({ type: 'pkcs8', format: 'pem' })
  await client.admin.createDelegateKey({ privateKeyPem })
})
afterAll(async () => {
  client.close()
  await pair.close()
})

const importOf = async (at: number) => {
  const delivery = await pair.delegated[at]!.delivery()
  return client.delegation.importDelegatedAccess({ content: { case: 'delivery', value: delivery } })
}
const addressOf = (at: number): Hex => addressOfKey(pair.delegated[at]!.granted) as Hex
const accessOf = (at: number): string => pair.delegated[at]!.accessId
const signOnce = (access: string, text: string, rest: object = {}) =>
  client.delegation.delegatedSignMessage({ access, content: { case: 'text', value: text }, ...rest })
/** Asked again where a machine with no time to spare lets the two daemons wait too long for each other. */
const sign: typeof signOnce = async (...args) => {
  for (let turn = 1; turn < 10; turn++) {
    const outcome = await signOnce(...args).catch((error: CountersignError) => error)
    if (!(outcome instanceof Error)) return outcome
    if (outcome.reason !== 'GRANTING_DAEMON_UNAVAILABLE') throw outcome
  }
  return signOnce(...args)
}

const post = (body: Uint8Array, signature = signatureOf(WEBHOOK_SECRET, body)) =>
  fetch(`http://${pair.sidecar.endpoints.connect}/webhooks/dynamic`, {
    method: 'POST', body: Uint8Array.from(body), headers: { 'x-dynamic-signature-256': signature },
  })

const openLibrary = (changes: Partial<Parameters<typeof createDelegatedEvmClient>[0]> = {}) =>
  createDelegatedEvmClient({
    ...openDelegatedDelivery({ privateKeyPem: receiver.privateKey.export({ type: 'pkcs8', format: 'pem' }), ...delivery }),
    grantingDaemon: { url: `http://${pair.granting.endpoints.grpc}`, partyId: pair.grantingId },
    identityKeyPem: library.privateKey.export({ type: 'pkcs8', format: 'pem' }),
    state: fileState(statePath),
    ...changes,
  })
/** Asked again while the machine is too slow for the set-up of its link: nothing was signed. */
const heard = async <T>(work: () => Promise<T>): Promise<T> => {
  for (let turn = 1; turn < 5; turn++) {
    const made = await work().then((value) => ({ value }), (error: unknown) => ({ error }))
    if ('value' in made) return made.value
    if (!(made.error instanceof PeerUnavailable)) throw made.error
  }
  return work()
}
let delivery: Awaited<ReturnType<(typeof pair.delegated)[number]['delivery']>>
const statePath = join(mkdtempSync(join(tmpdir(), 'countersign-delegate-')), 'state')
beforeAll(async () => {
  delivery = await pair.delegated[4]!.delivery()
})
afterAll(() => rmSync(dirname(statePath), { recursive: true, force: true }))


describe('a delegate without a daemon', () => {
  it('signs as a viem account, without a second call', async () => {
    const account = await openLibrary()
    expect(account.address).toBe(addressOf(4))
    const signature = await heard(() => account.signMessage({ message: 'hello' }))
    expect(await verifyMessage({ address: account.address, message: 'hello', signature })).toBe(true)
    expect(signature).toHaveLength(132)
    const typed = { domain: { chainId: 1 }, types: { Note: [{ name: 'text', type: 'string' }] }, primaryType: 'Note', message: { text: 'x' } } as const
    expect(await verifyTypedData({ address: account.address, ...typed, signature: await account.signTypedData(typed) })).toBe(true)
    const transaction = { chainId: 1, type: 'eip1559', to: account.address, value: 1n, gas: 21_000n, maxFeePerGas: 1n, maxPriorityFeePerGas: 1n, nonce: 0 } as const
    const serializedTransaction = await account.signTransaction(transaction)
    expect(await recoverTransactionAddress({ serializedTransaction: serializedTransaction as never })).toBe(account.address)
    await expect(account.sign({ hash: hashMessage('x') })).rejects.toThrow(DelegationRefused)
    await account.close()
  })


  it('goes on where its first share could not be replaced at once', async () => {
    let [isFull, kept]: [boolean, Uint8Array | undefined] = [true, undefined]
    const save = async (bytes: Uint8Array): Promise<void> => {
      if (isFull) throw new Error('the disk is full')
      kept = bytes.slice()
    }
    const privateKeyPem = receiver.privateKey.export({ type: 'pkcs8', format: 'pem' })
    const other = openDelegatedDelivery({ privateKeyPem, ...(await pair.delegated[5]!.delivery()) })
    const account = await openLibrary({ ...other, state: { load: async () => kept, save } })
    await expect(account.signMessage({ message: 'x' })).rejects.toThrow()
    isFull = false
    const signature = await heard(() => account.signMessage({ message: 'x' }))
    expect(await verifyMessage({ address: addressOf(5), message: 'x', signature })).toBe(true)
    await account.close()
  })

  it('joins no other daemon than the one that delegated, and only as itself', async () => {
    await expect(openLibrary({ grantingDaemon: { url: `http://${pair.granting.endpoints.grpc}`, partyId: '00'.repeat(32) } })).rejects.toThrow('another daemon')
    const stranger = newIdentity().privateKey.export({ type: 'pkcs8', format: 'pem' })
    await expect(openLibrary({ identityKeyPem: stranger })).rejects.toThrow('another delegate')
    const account = await openLibrary({ walletApiKey: `cdk_${'A'.repeat(43)}` })
    await expect(account.signMessage({ message: 'x' })).rejects.toMatchObject({ reason: 'WALLET_API_KEY_INVALID' })
    await account.close()
    await expect(openLibrary({ keyShare: FOREIGN_SHARE.toString() })).rejects.toThrow('FOREIGN_SHARE')
  })
})

describe('access that was delegated to a sidecar', () => {
  it('is taken in by RPC, and signs messages, typed data and transactions', async () => {
    const { access } = await importOf(0)
    expect(access).toMatchObject({ accessId: accessOf(0), address: addressOf(0), grantingDaemon: 'home' })
    const signed = await sign(accessOf(0), 'hello')
    expect(signed.signature?.hex).toHaveLength(132)
    const signature = signed.signature?.hex as Hex
    expect(await verifyMessage({ address: addressOf(0), message: 'hello', signature })).toBe(true)
    expect(signed.receipt?.sequence).toBeGreaterThan(0n)
    const typed = { domain: { chainId: 1 }, types: { Note: [{ name: 'text', type: 'string' }] }, primaryType: 'Note', message: { text: 'x' } } as const
    const typedData = await client.delegation.delegatedSignTypedData({
      access: addressOf(0).toLowerCase(), typedDataJson: JSON.stringify({ ...typed, types: { EIP712Domain: [{ name: 'chainId', type: 'uint256' }], ...typed.types } }),
    })
    expect(await verifyTypedData({ address: addressOf(0), ...typed, signature: typedData.signature?.hex as Hex })).toBe(true)
    const { accesses } = await client.delegation.listImportedAccess({})
    expect(accesses.map(({ state }) => state)).toEqual([ImportedAccessState.ACTIVE])
  })

  it('is audited on both sides, and charged once where a request is repeated', async () => {
    const requestId = randomUUID()
    const first = await sign(accessOf(0), 'once', { requestId })
    expect(await sign(accessOf(0), 'once', { requestId })).toEqual(first)
    expect(await reasonOf(sign(accessOf(0), 'other', { requestId }))).toBe('IDEMPOTENCY_MISMATCH')
    const granting = connect(pair.granting, pair.granting.adminKey)
    try {
      for (const audit of [client.audit, granting.audit]) {
        const { events } = await audit.listEvents({ pageSize: 100 })
        expect(events.map(({ kind }) => kind)).toContain('sign.intent')
      }
    } finally {
      granting.close()
    }
  })

  it('signs digests nowhere where it was not given that', async () => {
    const digest = { access: accessOf(0), isFormatted: true, content: { case: 'text', value: hashMessage('x').slice(2) } } as const
    const refusal = await refusalOf(client.delegation.delegatedSignMessage(digest))
    expect(refusal.reason).toBe('GRANTING_DAEMON_REFUSED')
    const key = await newKey(client, [{ name: 'wallet:sign' }])
    const caller = connect(pair.sidecar, key.secret)
    try {
      expect(await reasonOf(caller.delegation.delegatedSignMessage(digest))).toBe('PERMISSION_MISSING')
    } finally {
      caller.close()
    }
  })

  it('comes by webhook, and is gone when that takes it back', async () => {
    const body = await pair.delegated[1]!.body()
    expect((await post(body, 'sha256=00')).status).toBe(401)
    const answer = await post(body)
    expect([answer.status, await answer.json()]).toEqual([200, { success: true, message: 'access stored' }])
    const { signature } = await sign(addressOf(1), 'by webhook')
    expect(await recoverAddress({ hash: hashMessage('by webhook'), signature: signature?.hex as Hex })).toBe(getAddress(addressOf(1)))
    const { eventName: _, data, ...envelope } = JSON.parse(body.toString()) as { eventName: string; data: Record<string, string> }
    const { walletId, chain, publicKey, userId } = data
    const revoked = Buffer.from(
      JSON.stringify({ ...envelope, eventId: randomUUID(), eventName: 'wallet.delegation.revoked', data: { walletId, chain, publicKey, userId } }),
    )
    expect((await post(revoked)).status).toBe(200)
    expect(await reasonOf(sign(accessOf(1), 'late'))).toBe('IMPORTED_ACCESS_ENDED')
  })

  it('signs with Ed25519 as well', async () => {
    await importOf(2)
    const { signature } = await sign(accessOf(2), 'solana')
    expect(signature?.base58).toMatch(/^[1-9A-HJ-NP-Za-km-z]{86,88}$/)
    expect(await reasonOf(client.delegation.delegatedSignTypedData({ access: accessOf(2), typedDataJson: '{}' }))).toBe('KEY_TYPE_UNSUPPORTED')
  })

})

describe('what is not to be signed with', () => {
  it('a share of another system is stored and says so', async () => {
    const walletId = randomUUID()
    const value = {
      encryptedDelegatedShare: await sealForeign(receiver.publicKey, FOREIGN_SHARE),
      encryptedWalletApiKey: await sealForeign(receiver.publicKey, Buffer.from('key of theirs')),
      walletId,
    }
    const address = '0x1a642f0E3c3aF545E7AcBD38b07251B3990914F1'
    const { access } = await client.delegation.importDelegatedAccess({ content: { case: 'delivery', value }, expectedAddress: address })
    expect(access).toMatchObject({ accessId: walletId, state: ImportedAccessState.FOREIGN, grantingDaemon: '' })
    expect(await reasonOf(sign(walletId, 'x'))).toBe('FOREIGN_SHARE')
  })

  it('what was never delegated, or to another project, is not there', async () => {
    expect(await reasonOf(sign(randomUUID(), 'x'))).toBe('IMPORTED_ACCESS_NOT_FOUND')
    expect(await reasonOf(sign(addressOf(3), 'x'))).toBe('IMPORTED_ACCESS_NOT_FOUND')
    const projectId = fresh('elsewhere')
    await client.admin.createProject({ projectId })
    const key = await newKey(client, [{ name: 'wallet:sign' }], { projectId })
    const caller = connect(pair.sidecar, key.secret)
    try {
      const asked = caller.delegation.delegatedSignMessage({ access: accessOf(0), content: { case: 'text', value: 'x' } })
      expect(await reasonOf(asked)).toBe('IMPORTED_ACCESS_NOT_FOUND')
    } finally {
      caller.close()
    }
  })

  it('what is given back is over on both sides', async () => {
    await importOf(3)
    await sign(accessOf(3), 'x')
    expect(await reasonOf(client.delegation.returnDelegatedAccess({ accessId: randomUUID() }))).toBe('IMPORTED_ACCESS_NOT_FOUND')
    const { access } = await client.delegation.returnDelegatedAccess({ accessId: accessOf(3) })
    expect(access?.state).toBe(ImportedAccessState.REVOKED)
    expect((await client.delegation.returnDelegatedAccess({ accessId: accessOf(3) })).access).toEqual(access)
    expect(await reasonOf(sign(accessOf(3), 'x'))).toBe('IMPORTED_ACCESS_ENDED')
    const granting = connect(pair.granting, pair.granting.adminKey)
    try {
      const { accesses } = await granting.delegation.listDelegatedAccess({})
      const given = accesses.find(({ delegatedAccessId }) => delegatedAccessId === accessOf(3))
      expect(given?.state).toBe(DelegatedAccessState.REVOKED)
    } finally {
      granting.close()
    }
  })

  it('a frozen access signs nothing here', async () => {
    const id = `wal_${accessOf(0).replaceAll('-', '')}`
    await client.admin.freeze({ scope: 1, id })
    expect(await reasonOf(sign(accessOf(0), 'x'))).toBe('FROZEN')
    await client.admin.unfreeze({ scope: 1, id })
    await sign(accessOf(0), 'x')
  })
})

// Last: by now the links may be set up anew without waiting.
describe('after a start', () => {
  /** As a failed check would have on both sides; both operators then say that it may go on. */
  const burnAndGrant = async (): Promise<void> => {
    const baseOf = ({ dataDir }: { readonly dataDir: string }): string => dirname(dataDir)
    const linkIds = await prepareDataDir(baseOf(pair.sidecar), async (vault) => listDelegationLinks(vault.read).map(({ linkId }) => linkId))
    expect(linkIds).toHaveLength(1)
    for (const daemon of [pair.sidecar, pair.granting]) {
      await prepareDataDir(baseOf(daemon), (vault) =>
        vault.commit((tx) => {
          for (const linkId of linkIds) {
            const record = decodeLinkRecord(getLink(tx, linkId)!.control)
            saveLink(tx, encodeLinkRecord({ ...record, state: 'BURNED', burns: 1 }), Date.now())
            expect(grantRelink(tx, linkId, Date.now())).toBe('granted')
          }
        }),
      )
    }
  }

  it('goes on after either side was killed, over a link that both operators let go on', async () => {
    await pair.granting.kill('SIGKILL')
    expect(await reasonOf(signOnce(accessOf(0), 'to nobody'))).toBe('GRANTING_DAEMON_UNAVAILABLE')
    client.close()
    await pair.sidecar.kill('SIGKILL')
    await burnAndGrant()
    const [sidecar] = await Promise.all([pair.restartSidecar(), pair.restartGranting()])
    client = connect(sidecar, sidecar.adminKey)
    // On a loaded machine a step of the set-up may be late, and is told as such.
    const { signature } = await vi.waitFor(() => sign(accessOf(0), 'after another'), { timeout: 40_000, interval: 200 })
    expect(await verifyMessage({ address: addressOf(0), message: 'after another', signature: signature?.hex as Hex })).toBe(true)
    const granting = connect(pair.granting, pair.granting.adminKey)
    const ready = async () => (await client.admin.getStatus({})).status?.grantingDaemons?.presignatureCount
    await expect.poll(ready, { timeout: 20_000 }).toBeGreaterThan(0n)
    const { status: here } = await client.admin.getStatus({})
    const { status: there } = await granting.admin.getStatus({})
    granting.close()
    expect(here?.grantingDaemons).toMatchObject({ activeCount: 1, burnedCount: 0, openCount: 1, stopped: [] })
    expect(here?.delegates).toMatchObject({ activeCount: 0, openCount: 0 })
    expect(there?.delegates).toMatchObject({ burnedCount: 0, suspendedCount: 0, openCount: 1 })
    expect(there?.delegates?.presignatureCount).toBeGreaterThan(0n)
  })

  it('goes on from its state', async () => {
    expect(statSync(statePath).mode & 0o777).toBe(0o600)
    const account = await openLibrary()
    expect(await heard(() => account.signMessage({ message: 'again' }))).toHaveLength(132)
    await account.close()
  })
})

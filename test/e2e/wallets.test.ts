import { randomUUID } from 'node:crypto'
import { computeAddress } from 'ethers'
import { publicKeyToAddress } from 'viem/accounts'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { KeyType } from '../../gen/countersign/v1/common_pb.ts'
import { OwnerType, WalletOrigin, WalletState } from '../../gen/countersign/v1/wallet_pb.ts'
import type { CountersignClient } from '../../src/client/countersign-client.ts'
import { connect, newKey, newWallet, reasonOf, refusalOf } from './callers.ts'
import { startDaemon, type TestDaemon } from './start-daemon.ts'

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

const sign = (walletRef: string, caller = client) =>
  caller.wallets.signMessage({ wallet: walletRef, content: { case: 'text', value: 'hello' } })

const get = async (walletRef: string, caller = client) => (await caller.wallets.getWallet({ wallet: walletRef })).wallet

const SECP256K1 = KeyType.SECP256K1

describe('CreateWallet', () => {
  it('answers a wallet whose address two libraries derive from its public key', async () => {
    const beforeMs = Date.now() - 1_000
    const wallet = await newWallet(client, 'alice')
    expect(wallet).toMatchObject({
      userId: 'alice',
      projectId: 'default',
      keyType: SECP256K1,
      ownerType: OwnerType.PROJECT,
      label: '',
      state: WalletState.ACTIVE,
      origin: WalletOrigin.GENERATED,
    })
    expect(wallet.walletId).toMatch(/^wal_[0-9a-f]{32}$/)
    expect(wallet.publicKey).toMatch(/^04[0-9a-f]{128}$/)
    expect(wallet.address).toBe(publicKeyToAddress(`0x${wallet.publicKey}`))
    expect(wallet.address).toBe(computeAddress(`0x${wallet.publicKey}`))
    const createMs = Number(wallet.createTime?.seconds) * 1_000
    expect(createMs).toBeGreaterThan(beforeMs - 1_000)
    expect(createMs).toBeLessThanOrEqual(Date.now())
  })

  it('refuses a second wallet in the same place and names the first', async () => {
    const first = await newWallet(client, 'bob')
    const refusal = await refusalOf(newWallet(client, 'bob'))
    expect(refusal).toMatchObject({
      code: 'ALREADY_EXISTS',
      reason: 'WALLET_ALREADY_EXISTS',
      retryable: 'no',
      metadata: { walletId: first.walletId },
    })
    const { wallets } = await client.wallets.listWallets({ userId: 'bob' })
    expect(wallets).toHaveLength(1)
  })

  it('makes one wallet of twenty concurrent calls for the same place', async () => {
    const calls = Array.from({ length: 20 }, () => newWallet(client, 'racer'))
    const outcomes = await Promise.allSettled(calls)
    const made = outcomes.filter(({ status }) => status === 'fulfilled')
    expect(made).toHaveLength(1)
    const reasons = new Set(outcomes.flatMap((o) => (o.status === 'rejected' ? [(o.reason as { reason: string }).reason] : [])))
    for (const reason of reasons) expect(['WALLET_ALREADY_EXISTS', 'OVERLOADED']).toContain(reason)
    expect((await client.wallets.listWallets({ userId: 'racer' })).wallets).toHaveLength(1)
  })

  it('keeps owner types, labels and projects apart', async () => {
    const place = { userId: 'carol', keyType: SECP256K1 }
    const made = [
      await client.wallets.createWallet({ ...place, ownerType: OwnerType.PROJECT }),
      await client.wallets.createWallet({ ...place, ownerType: OwnerType.END_USER }),
      await client.wallets.createWallet({ ...place, label: 'desk 2' }),
    ]
    expect(new Set(made.map(({ wallet }) => wallet?.address)).size).toBe(3)
  })

  const reserved = [
    '0x11E9CA82A3a762b4B5bd264d4173a242e7a77064',
    '0x11e9ca82a3a762b4b5bd264d4173a242e7a77064',
    '0X11E9CA82A3A762B4B5BD264D4173A242E7A77064',
    'wal_00112233445566778899aabbccddeeff',
    'WAL_00112233445566778899AABBCCDDEEFF',
    'So11111111111111111111111111111111111111112',
  ]
  it.each(reserved)('refuses the reserved user id %s', async (userId) => {
    expect(await refusalOf(newWallet(client, userId))).toMatchObject({
      code: 'INVALID_ARGUMENT',
      reason: 'USER_ID_RESERVED',
    })
  })

  it.each(['', ' ', 'a b', 'é', 'a\n', 'x'.repeat(129), 'a/b'])('refuses the malformed user id %j', async (userId) => {
    const refusal = await refusalOf(newWallet(client, userId))
    expect(refusal).toMatchObject({ code: 'INVALID_ARGUMENT', reason: 'INVALID_REQUEST' })
    expect(refusal.violations.map(({ field }) => field)).toEqual(['user_id'])
  })

  it.each(['a', 'x'.repeat(128), 'a.b:c@d-e_F9'])('takes the user id %j', async (userId) => {
    expect((await newWallet(client, userId)).userId).toBe(userId)
  })

  it('refuses no key type at all, and one that does not exist', async () => {
    expect(await reasonOf(client.wallets.createWallet({ userId: 'sol' }))).toBe('INVALID_REQUEST')
    expect(await reasonOf(client.wallets.createWallet({ userId: 'sol', keyType: 3 as KeyType }))).toBe('INVALID_REQUEST')
    expect((await client.wallets.listWallets({ userId: 'sol' })).wallets).toEqual([])
  })
})

describe('finding a wallet', () => {
  it('takes its id, its address in any letter case, and its user id', async () => {
    const wallet = await newWallet(client, 'finder')
    const upper = `0x${wallet.address.slice(2).toUpperCase()}`
    for (const reference of [wallet.walletId, wallet.address, wallet.address.toLowerCase(), upper, 'finder']) {
      expect(await get(reference)).toEqual(wallet)
      expect((await sign(reference)).signature?.hex).toMatch(/^0x[0-9a-f]{130}$/)
    }
    for (const reference of ['Finder', wallet.walletId.toUpperCase(), wallet.address.slice(2), ` finder`]) {
      expect(await reasonOf(get(reference)), reference).toBe('WALLET_NOT_FOUND')
    }
  })

  it('never guesses between two', async () => {
    const first = await newWallet(client, 'twin', 'a')
    const second = await newWallet(client, 'twin', 'b')
    for (const call of [get('twin'), sign('twin'), client.wallets.archiveWallet({ wallet: 'twin' })]) {
      const refusal = await refusalOf(call)
      expect(refusal).toMatchObject({ code: 'FAILED_PRECONDITION', reason: 'WALLET_AMBIGUOUS' })
      expect(refusal.metadata['walletIds']?.split(',').sort()).toEqual([first.walletId, second.walletId].sort())
    }
    expect((await get(first.walletId))?.label).toBe('a')
  })

  it('shows another project nothing: unknown and foreign wallets look the same', async () => {
    const wallet = await newWallet(client, 'private')
    await client.admin.createProject({ projectId: 'rival', displayName: 'Rival' })
    const rights = ['wallet:read', 'wallet:sign', 'wallet:admin', 'wallet:create', 'sign:digest', 'sign:authorization', 'audit:read']
    const key = await newKey(client, rights.map((name) => ({ name })), { projectId: 'rival' })
    const rival = connect(daemon, key.secret)
    const wallets = rival.wallets
    const calls = (ref: string) => [
      get(ref, rival),
      sign(ref, rival),
      wallets.signTypedData({ wallet: ref, typedDataJson: TYPED_DATA }),
      wallets.signDigest({ wallet: ref, digest: new Uint8Array(32).fill(1) }),
      wallets.signAuthorization({ wallet: ref, chainId: 1n, address: wallet.address }),
      wallets.signTransaction({ wallet: ref, transaction: { case: 'evmUnsigned', value: LEGACY } }),
      wallets.archiveWallet({ wallet: ref }),
      wallets.refreshShares({ wallet: ref }),
      wallets.verifySignature({
        signer: { case: 'wallet', value: ref },
        content: { case: 'text', value: 'x' },
        signature: new Uint8Array(65).fill(1),
      }),
    ]
    const shape = async (call: Promise<unknown>) => {
      const { code, reason, message, metadata, retryable } = await refusalOf(call)
      return { code, reason, message, metadata, retryable }
    }
    const foreign = await Promise.all(
      [wallet.walletId, wallet.address, wallet.userId].flatMap((ref) => calls(ref).map(shape)),
    )
    const unknown = await Promise.all(calls(`wal_${'0'.repeat(32)}`).map(shape))
    expect(foreign).toEqual([...unknown, ...unknown, ...unknown])
    expect(unknown[0]).toMatchObject({ code: 'NOT_FOUND', reason: 'WALLET_NOT_FOUND' })
    expect((await wallets.listWallets({})).wallets).toEqual([])
    expect((await newWallet(rival, wallet.userId)).address).not.toBe(wallet.address)
    const { events } = await rival.audit.listEvents({ pageSize: 500 })
    expect(events.filter(({ projectId }) => projectId !== 'rival')).toEqual([])
    rival.close()
  })
})

describe('ListWallets', () => {
  const pages = async (filter: { readonly userId?: string; readonly state?: WalletState }, pageSize: number) => {
    const found: string[][] = []
    let pageToken = ''
    do {
      const page = await client.wallets.listWallets({ ...filter, pageSize, pageToken })
      found.push(page.wallets.map(({ walletId }) => walletId))
      pageToken = page.nextPageToken
    } while (pageToken !== '')
    return found
  }

  it('pages in a stable order, also while wallets are added, without gap or repeat', async () => {
    const made: string[] = []
    for (let i = 0; i < 7; i++) made.push((await newWallet(client, 'pager', `n${i}`)).walletId)
    expect((await pages({ userId: 'pager' }, 3)).map((page) => page.length)).toEqual([3, 3, 1])
    expect((await pages({ userId: 'pager' }, 3)).flat()).toEqual(made)
    expect((await pages({ userId: 'pager' }, 7)).flat()).toEqual(made)
    const first = await client.wallets.listWallets({ userId: 'pager', pageSize: 4 })
    const late = await newWallet(client, 'pager', 'late')
    const rest = await client.wallets.listWallets({ userId: 'pager', pageSize: 500, pageToken: first.nextPageToken })
    const ids = [...first.wallets, ...rest.wallets].map(({ walletId }) => walletId)
    expect(ids).toEqual([...made, late.walletId])
  })

  it('binds a token to its caller and filter', async () => {
    for (let i = 0; i < 3; i++) await newWallet(client, 'bound', `n${i}`)
    const { nextPageToken: pageToken } = await client.wallets.listWallets({ userId: 'bound', pageSize: 1 })
    const again = await client.wallets.listWallets({ userId: 'bound', pageSize: 2, pageToken })
    expect(again.wallets).toHaveLength(2)
    const key = await newKey(client, [{ name: 'wallet:read' }])
    const other = connect(daemon, key.secret)
    const flipped = `${pageToken.startsWith('A') ? 'B' : 'A'}${pageToken.slice(1)}`
    const misuses = [
      client.wallets.listWallets({ userId: 'alice', pageToken }),
      client.wallets.listWallets({ pageToken }),
      client.wallets.listWallets({ userId: 'bound', state: WalletState.ACTIVE, pageToken }),
      client.wallets.listWallets({ userId: 'bound', pageToken: flipped }),
      client.wallets.listWallets({ userId: 'bound', pageToken: 'x' }),
      client.audit.listEvents({ pageToken }),
      other.wallets.listWallets({ userId: 'bound', pageToken }),
    ]
    for (const misuse of misuses) expect(await reasonOf(misuse)).toBe('PAGE_TOKEN_INVALID')
    other.close()
  })

  it('refuses page sizes out of range', async () => {
    for (const pageSize of [-1, 501]) expect(await reasonOf(client.wallets.listWallets({ pageSize }))).toBe('INVALID_REQUEST')
  })
})

describe('ArchiveWallet', () => {
  it('ends signing for good, frees the place, and can be repeated', async () => {
    const wallet = await newWallet(client, 'retired')
    await sign('retired')
    const requestId = randomUUID()
    const archived = await client.wallets.archiveWallet({ wallet: 'retired', requestId })
    expect(archived.wallet).toMatchObject({ walletId: wallet.walletId, state: WalletState.ARCHIVED })
    expect(await client.wallets.archiveWallet({ wallet: wallet.walletId, requestId: randomUUID() })).toEqual(archived)
    expect(await refusalOf(sign(wallet.walletId))).toMatchObject({
      code: 'FAILED_PRECONDITION',
      reason: 'WALLET_ARCHIVED',
    })
    const next = await newWallet(client, 'retired')
    expect(next.walletId).not.toBe(wallet.walletId)
    expect((await get('retired'))?.walletId).toBe(next.walletId)
    expect((await get(wallet.walletId))?.state).toBe(WalletState.ARCHIVED)
    const { wallets } = await client.wallets.listWallets({ userId: 'retired', state: WalletState.ARCHIVED })
    expect(wallets.map(({ walletId }) => walletId)).toEqual([wallet.walletId])
  })

  it('releases nothing after its answer', async () => {
    const wallet = await newWallet(client, 'fenced')
    let acknowledged = false
    let late = 0
    const racing = Array.from({ length: 40 }, () =>
      sign(wallet.walletId).then(
        () => (late += acknowledged ? 1 : 0),
        () => undefined,
      ),
    )
    await client.wallets.archiveWallet({ wallet: wallet.walletId }).then(() => (acknowledged = true))
    await Promise.all(racing)
    expect(late).toBe(0)
    expect(await reasonOf(sign(wallet.walletId))).toBe('WALLET_ARCHIVED')
  })
})

const TYPED_DATA = JSON.stringify({
  types: { T: [{ name: 'v', type: 'uint256' }] },
  primaryType: 'T',
  domain: { name: 't', chainId: 1 },
  message: { v: '1' },
})

/** EIP-155's own example, unsigned. */
const LEGACY = new Uint8Array(
  Buffer.from('ec098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a764000080018080', 'hex'),
)

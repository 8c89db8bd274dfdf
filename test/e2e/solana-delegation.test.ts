/** Spending delegations on Solana: proven on its own virtual machine, refused for every lack, each by its own reason. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Address } from '@solana/kit'
import { getTransferSolInstruction } from '@solana-program/system'
import { getApproveInstruction, getRevokeInstruction, getTransferInstruction } from '@solana-program/token'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ChainState } from '../../gen/countersign/v1/admin_pb.ts'
import { ExternalWalletState } from '../../gen/countersign/v1/delegation_pb.ts'
import { encodeBase58 } from '../../src/domain/base58.ts'
import { signedBy as signedWith } from '../client/solana-tokens.ts'
import { type Bend, RawBody } from '../client/start-litesvm.ts'
import { signerOf } from '../payload/solana-cases.ts'
import { rowsOfKind } from './audit-rows.ts'
import { newWallet, outcomeOf, reasonOf, refusalOf, settledOutcomeOf } from './callers.ts'
import { fresh } from './fresh.ts'
import { at, type Changes, type Delegation, DOMAIN, honest, messageOf, signedBy, type SolanaScene, startSolanaScene } from './solana-scene.ts'

let scene: SolanaScene
let { cluster, elsewhere, usdc, eurc, admin, issue, delegation } = {} as SolanaScene
let spender: Address

beforeAll(async () => {
  scene = await startSolanaScene()
  ;({ cluster, elsewhere, usdc, eurc, admin, issue, delegation } = scene)
  spender = scene.spender.address as Address
})
afterAll(() => scene[Symbol.asyncDispose]())

describe('a delegation on Solana', () => {
  it('is offered with the cluster, whom to approve and what', async () => {
    const { networks } = await admin.delegation.getChainConfig({})
    expect(networks[0]).toMatchObject({ network: 'solana', chainId: 0n, genesisHash: cluster.genesisHash, spenderAddress: spender })
    const { status } = await admin.admin.getStatus({})
    expect(status?.chains.find(({ network }) => network === 'solana')).toMatchObject({ state: ChainState.USABLE, chainId: 0n, detail: '' })
    expect(networks[0]?.tokens).toContainEqual(expect.objectContaining({ currency: 'usdc', address: usdc.mint, decimals: 6 }))
  })

  it.each([['Approve', false], ['ApproveChecked', true]] as const)('goes from a token to a wallet that is listed, and follows the chain (%s)', async (_name, checked) => {
    const userId = `alice-${checked}`
    const { person, request } = await delegation(userId, { checked })
    const { delegation: made } = await admin.delegation.completeSolanaDelegation({ ...request, amount: '49.5' })
    expect(made).toMatchObject({
      userId, network: 'solana', currency: 'usdc', address: person.address, spenderAddress: spender, tokenAddress: usdc.mint,
      state: ExternalWalletState.ACTIVE, priority: 1, limit: '49.5', standing: { allowance: '50', balance: '7.25' },
    })
    const list = async () => (await admin.delegation.listExternalWallets({ userId })).externalWallets
    expect(await list()).toMatchObject([{ externalWalletId: made?.externalWalletId, standing: { allowance: '50', balance: '7.25' } }])
    await usdc.revoke(person)
    expect(await list()).toMatchObject([{ state: ExternalWalletState.REVOKED, standing: { allowance: '0', balance: '7.25' } }])
    await usdc.approve(person, spender, 1_000_000n)
    expect(await list()).toMatchObject([{ state: ExternalWalletState.ACTIVE, standing: { allowance: '1' } }])
    await usdc.approve(person, usdc.bank.address, 1_000_000n)
    expect(await list()).toMatchObject([{ state: ExternalWalletState.REVOKED, standing: { allowance: '0' } }])
    for (const kind of ['external_wallet.registered', 'external_wallet.revoked', 'external_wallet.approved_again'])
      expect(await rowsOfKind(admin, kind, 0n), kind).not.toEqual([])
  })

  it('is followed by itself: spent, taken back, and gone with a fork', async () => {
    const rollBack = cluster.snapshot()
    const { person, request } = await delegation(fresh('followed'))
    const { delegation: made } = await admin.delegation.completeSolanaDelegation(request)
    const told = async (kind: string): Promise<Record<string, unknown>> => {
      for (const end = Date.now() + 20_000; ; await sleep(200)) {
        const row = (await rowsOfKind(admin, kind, 0n)).findLast(({ subject }) => subject.endsWith(String(made?.externalWalletId)))
        if (row !== undefined) return JSON.parse(row.detailsJson) as Record<string, unknown>
        if (Date.now() > end) throw new Error(`no ${kind}`)
      }
    }
    await admin.delegation.listExternalWallets({ userId: fresh('followed') })
    await usdc.approve(person, spender, 40_000_000n)
    expect(await told('external_wallet.limit_changed')).toMatchObject({ before: '50', allowance: '40' })
    // A node that says otherwise for a while does not make it forgotten.
    scene.bend = (method, _params, ask) => {
      const said = ask() as { value: unknown[] }
      return method === 'getMultipleAccounts' ? { ...said, value: said.value.map(() => null) } : said
    }
    await usdc.revoke(person)
    await sleep(1_500)
    scene.bend = honest
    expect(await told('external_wallet.revoked')).toMatchObject({ allowance: '0' })
    await usdc.approve(person, spender, 30_000_000n)
    await told('external_wallet.approved_again')
    rollBack()
    cluster.advance(1)
    const gone = async () => (await rowsOfKind(admin, 'external_wallet.revoked', 0n)).filter(({ subject }) => subject.endsWith(String(made?.externalWalletId)))
    for (const end = Date.now() + 20_000; (await gone()).length < 2; await sleep(200)) if (Date.now() > end) throw new Error('not noticed')
    expect((await gone()).at(-1)?.detailsJson).toContain('in the chain no more')
  })

  it('of a Token-2022 mint works the same', async () => {
    const { request } = await delegation(fresh('modern'), { tokens: eurc })
    expect((await admin.delegation.completeSolanaDelegation(request)).delegation).toMatchObject({ currency: 'eurc', standing: { allowance: '50', balance: '7.25' } })
  })

  it('completed again replaces the one before; of an address that is another user’s it is refused', async () => {
    const { person, request } = await delegation(fresh('bob'))
    const first = (await admin.delegation.completeSolanaDelegation(request)).delegation
    expect(await reasonOf(admin.delegation.completeSolanaDelegation(request))).toBe('TOKEN_USED')
    const again = await issue(person, fresh('bob'))
    const next = { ...request, ...signedBy(person, messageOf(person, again.nonce)), token: again.token, amount: '20' }
    const second = (await admin.delegation.completeSolanaDelegation(next)).delegation
    expect(second).toMatchObject({ priority: first?.priority, limit: '20' })
    expect((await admin.delegation.listExternalWallets({ userId: fresh('bob') })).externalWallets).toHaveLength(1)
    const stolen = await issue(person, 'eve')
    const theirs = { ...request, ...signedBy(person, messageOf(person, stolen.nonce)), token: stolen.token }
    expect(await reasonOf(admin.delegation.completeSolanaDelegation(theirs))).toBe('EXTERNAL_WALLET_TAKEN')
  })

  it('of a hundred with one token is one', async () => {
    const { request } = await delegation(fresh('parallel'))
    const outcomes = await Promise.all(Array.from({ length: 100 }, () => settledOutcomeOf(() => admin.delegation.completeSolanaDelegation(request))))
    expect(outcomes.filter((one) => one === 'signed')).toHaveLength(1)
    expect(new Set(outcomes)).toEqual(new Set(['signed', 'TOKEN_USED']))
  })

  it('takes the message on one line, and a text of the app’s own', async () => {
    const line = await delegation(fresh('line'))
    const oneLine = messageOf(line.person, line.nonce).replaceAll(/\n+/g, ' ')
    await admin.delegation.completeSolanaDelegation({ ...line.request, ...signedBy(line.person, oneLine) })
    const free = await delegation(fresh('free'))
    const text = `I own ${free.person.address} and use it at https://${DOMAIN}/card (${free.nonce}).`
    await admin.delegation.completeSolanaDelegation({ ...free.request, ...signedBy(free.person, text) })
  })
})

const bent = async (name: string, change: (right: Delegation) => Promise<Partial<Delegation['request']>>): Promise<string> => {
  const right = await delegation(name)
  const bad = { ...right.request, ...(await change(right)) }
  const error = await refusalOf(admin.delegation.completeSolanaDelegation(bad))
  // Nothing but success uses the token up.
  if (bad.token === right.request.token) {
    await usdc.approve(right.person, spender, 50_000_000n)
    await admin.delegation.completeSolanaDelegation(right.request)
  }
  return error.reason ?? ''
}
/** The changes are made when their turn comes: some are times. */
const resigned = (changes: () => Changes) => async ({ person, nonce }: Delegation) => signedBy(person, messageOf(person, nonce, changes()))
const text = (write: (right: Delegation) => string) => async (right: Delegation) => signedBy(right.person, write(right))
const transfer = async ({ person }: Delegation): Promise<string> =>
  usdc.run([person], [getTransferSolInstruction({ source: signerOf(person.address), destination: spender, amount: 1_000_000n })])

describe('is refused', () => {
  const cases: readonly (readonly [string, string, Parameters<typeof bent>[1]])[] = [
    ['a token of nobody', 'TOKEN_INVALID', async () => ({ token: '00000000-0000-4000-8000-000000000000' })],
    ['a token for another address', 'TOKEN_INVALID', async () => ({ token: (await issue(usdc.person(), 'x')).token })],
    ['a token for another network', 'TOKEN_INVALID', async ({ person }) => ({ token: (await issue(person, 'x', 'solana-devnet')).token })],
    ['a message without an end', 'SIWE_INVALID', resigned(() => ({ expirationTime: '' }))],
    ['a message that is good for a day', 'SIWE_INVALID', resigned(() => ({ expirationTime: at(86_400_000) }))],
    ['a message older than the token', 'SIWE_INVALID', resigned(() => ({ issuedAt: at(-600_000) }))],
    ['a message that is over', 'SIWE_EXPIRED', resigned(() => ({ issuedAt: at(-50_000), expirationTime: at(-1_000) }))],
    ['a message of a time to come', 'SIWE_NOT_YET_VALID', resigned(() => ({ notBefore: at(100_000) }))],
    ['a message for another cluster', 'SIWE_CHAIN_MISMATCH', resigned(() => ({ chainId: 'mainnet' }))],
    ['a message of another page', 'SIWE_DOMAIN_MISMATCH', resigned(() => ({ domain: 'evil.example', uri: 'https://evil.example' }))],
    ['a message whose URI is of another page', 'SIWE_DOMAIN_MISMATCH', resigned(() => ({ uri: 'https://evil.example' }))],
    ['a message with another nonce', 'SIWE_NONCE_MISMATCH', resigned(() => ({ nonce: 'ffffffffffffffffffffffff' }))],
    ['a message of another address', 'SIWE_ADDRESS_MISMATCH', resigned(() => ({ address: 'So11111111111111111111111111111111111111112' }))],
    ['a text without the page', 'SIWE_DOMAIN_MISMATCH', text(({ person, nonce }) => `I own ${person.address}, ${nonce}`)],
    ['a text without the address', 'SIWE_ADDRESS_MISMATCH', text(({ nonce }) => `${DOMAIN}: this is mine, ${nonce}`)],
    ['a text without the nonce', 'SIWE_NONCE_MISMATCH', text(({ person }) => `${DOMAIN}: I own ${person.address}`)],
    ['a text that was over', 'SIWE_EXPIRED', text(({ person, nonce }) => `${DOMAIN} ${person.address} ${nonce} Issued At: ${at(-9_000)} Expiration Time: ${at(-1_000)}`)],
    ['a text with hidden characters', 'SIWE_INVALID', text(({ person, nonce }) => `${DOMAIN}\u202e ${person.address} ${nonce}`)],
    ['a signature of somebody else', 'SIGNATURE_MISMATCH', async ({ request }) => ({ sigHash: signedBy(usdc.bank, request.sigMessage).sigHash })],
    ['a signature over something else', 'SIGNATURE_MISMATCH', async ({ person }) => ({ sigHash: signedBy(person, 'hello').sigHash })],
    ['a transaction that is not there', 'TRANSACTION_NOT_FOUND', async () => ({ txHash: encodeBase58(new Uint8Array(64).fill(7)) })],
    ['a transaction that is on another cluster', 'TRANSACTION_WRONG_NETWORK', async ({ person }) => {
      elsewhere.airdrop(person.address, 1_000_000_000n)
      const pay = getTransferSolInstruction({ source: signerOf(person.address), destination: spender, amount: 1_000_000n })
      return { txHash: elsewhere.execute(signedWith([person], [pay], elsewhere.blockhash())) }
    }],
    ['a transaction that failed', 'TRANSACTION_REVERTED', async ({ person }) => {
      const account = await usdc.accountOf(person.address)
      const much = getTransferInstruction({ source: account, destination: account, authority: signerOf(person.address), amount: 10n ** 15n })
      const wire = signedWith([person], [much], cluster.blockhash())
      expect(() => cluster.execute(wire)).toThrow(/insufficient funds/)
      return { txHash: encodeBase58(wire.subarray(1, 65)) }
    }],
    ['a transaction that approves nothing', 'APPROVAL_MISSING', async (right) => ({ txHash: await transfer(right) })],
    ['an approval of somebody else', 'APPROVAL_MISSING', async () => {
      const other = usdc.person()
      await usdc.give(other.address, 1n)
      return { txHash: await usdc.approve(other, spender, 50_000_000n) }
    }],
    ['an approval for somebody else', 'APPROVAL_MISSING', async ({ person }) => ({ txHash: await usdc.approve(person, usdc.bank.address, 50_000_000n) })],
    ['an approval of another token', 'APPROVAL_MISSING', async ({ person }) => {
      await eurc.give(person.address, 1n)
      return { txHash: await eurc.approve(person, spender, 50_000_000n) }
    }],
    ['an approval that the transaction itself takes back', 'APPROVAL_MISSING', async ({ person }) => {
      const [source, owner] = [await usdc.accountOf(person.address), signerOf(person.address)]
      return { txHash: usdc.run([person], [getApproveInstruction({ source, delegate: spender, owner, amount: 50_000_000n }), getRevokeInstruction({ source, owner })]) }
    }],
    ['an approval of less', 'APPROVAL_TOO_SMALL', async () => ({ amount: '50.000001' })],
    ['an approval that was taken back since', 'APPROVAL_TOO_SMALL', async ({ person }) => usdc.revoke(person).then(() => ({}))],
    ['an approval that somebody else has the place of by now', 'APPROVAL_TOO_SMALL', async ({ person }) => usdc.approve(person, usdc.bank.address, 50_000_000n).then(() => ({}))],
    ['more decimals than the token has', 'INVALID_REQUEST', async () => ({ amount: '1.0000001' })],
    ['an EVM address', 'INVALID_REQUEST', async () => ({ address: `0x${'ab'.repeat(20)}` })],
    ['a currency that is not known', 'CURRENCY_NOT_CONFIGURED', async () => ({ currency: 'dai' })],
    ['a currency that is configured with other decimals', 'TOKEN_UNSUPPORTED', async () => ({ currency: 'odd' })],
    ['a network that is not configured', 'CHAIN_NOT_CONFIGURED', async () => ({ network: 'eclipse' })],
  ]
  it.each(cases)('with %s: %s', async (name, reason, change) => {
    expect(await bent(`bent ${name}`.replaceAll(' ', '-').slice(0, 60), change)).toBe(reason)
  })

  it('by the first of its lacks, in one order', async () => {
    const { request } = await delegation('lacking')
    const lacks = [
      ['CHAIN_NOT_CONFIGURED', { network: 'eclipse' }],
      ['CURRENCY_NOT_CONFIGURED', { currency: 'dai' }],
      ['INVALID_REQUEST', { amount: '0.0' }],
      ['TOKEN_INVALID', { token: '00000000-0000-4000-8000-000000000000' }],
      ['SIWE_DOMAIN_MISMATCH', { sigMessage: 'I own this wallet, I promise' }],
      ['SIGNATURE_MISMATCH', { sigHash: encodeBase58(new Uint8Array(64).fill(9)) }],
      ['TRANSACTION_NOT_FOUND', { txHash: encodeBase58(new Uint8Array(64).fill(7)) }],
    ] as const
    const complete = (bad: readonly (typeof lacks)[number][]) =>
      admin.delegation.completeSolanaDelegation(bad.reduce((made, [, lack]) => ({ ...made, ...lack }), request as object))
    const reasons = await Promise.all(lacks.map((_lack, at) => reasonOf(complete(lacks.slice(at)))))
    expect(reasons).toEqual(lacks.map(([reason]) => reason))
    await complete([])
  })

  it('while the approval is processed only', async () => {
    const { request } = await delegation(fresh('young'))
    cluster.depths = { confirmed: 4, finalized: 32 }
    const error = await refusalOf(admin.delegation.completeSolanaDelegation(request))
    expect(error).toMatchObject({ reason: 'TRANSACTION_NOT_CONFIRMED', metadata: { confirmations: 'processed', required: 'confirmed', retryable: 'yes' } })
    cluster.advance(8)
    await admin.delegation.completeSolanaDelegation(request)
    cluster.depths = { confirmed: 0, finalized: 0 }
  })

  it('when a fork has taken the approval out of the chain', async () => {
    const rollBack = cluster.snapshot()
    const { person, request } = await delegation(fresh('forked'))
    rollBack()
    cluster.advance(1)
    expect(await reasonOf(admin.delegation.completeSolanaDelegation(request))).toBe('TRANSACTION_NOT_FOUND')
    expect(await usdc.allowanceOf(person.address)).toBe(0n)
  })
})

describe('VerifySignature', () => {
  it('of an Ed25519 wallet needs no chain, and takes none that is not Solana’s', async () => {
    const wallet = spender
    const content = { case: 'text', value: 'hello' } as const
    const { signature } = await admin.wallets.signMessage({ wallet, content })
    const raw = Buffer.from(signature?.raw ?? [])
    const verify = (network: string, bytes: Uint8Array = raw) =>
      admin.wallets.verifySignature({ signer: { case: 'wallet', value: wallet }, content, signature: bytes, network })
    for (const network of ['', 'solana']) expect(await verify(network)).toMatchObject({ valid: true })
    expect(await verify('solana', raw.map((byte, at) => (at === 5 ? byte ^ 1 : byte)))).toMatchObject({ valid: false })
    expect(await reasonOf(verify('ethereum'))).toBe('CHAIN_NOT_CONFIGURED')
    const evm = await newWallet(admin, fresh('evm'))
    const signed = await admin.wallets.signMessage({ wallet: evm.walletId, content })
    const other = admin.wallets.verifySignature({
      signer: { case: 'address', value: evm.address }, content, signature: signed.signature?.raw ?? new Uint8Array(), network: 'solana',
    })
    expect(await reasonOf(other)).toBe('CHAIN_NOT_CONFIGURED')
  })
})

describe('of two nodes', () => {
  const lies: readonly (readonly [string, string, Bend])[] = [
    ['gives the account more', 'CHAIN_DISAGREEMENT', (method, _params, ask) => {
      const said = ask() as { value: ({ data: [string, string] } | null)[] }
      if (method === 'getMultipleAccounts') for (const account of said.value) if (account !== null) account.data[0] = account.data[0].replace(/^..../, 'AAAA')
      return said
    }],
    ['serves another cluster', 'signed', (method, _params, ask) => (method === 'getGenesisHash' ? encodeBase58(new Uint8Array(32).fill(1)) : ask())],
    ['answers with nulls', 'signed', (method, _params, ask) => (method === 'getMultipleAccounts' ? { context: { slot: null }, value: null } : ask())],
    ['answers with two megabytes', 'signed', () => new RawBody('x'.repeat(2_000_000))],
  ]
  it.each(lies)('one %s: %s', async (_name, outcome, lie) => {
    const { request } = await delegation(`lied-${Math.random()}`)
    scene.bend = lie
    expect(await outcomeOf(admin.delegation.completeSolanaDelegation(request))).toBe(outcome)
    scene.bend = honest
  })
})

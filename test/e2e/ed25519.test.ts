/** Ed25519 wallets of the real daemon: made, found, signed with, stopped and brought back. */
import { randomUUID } from 'node:crypto'
import { ed25519 } from '@noble/curves/ed25519.js'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { FreezeScope } from '../../gen/countersign/v1/admin_pb.ts'
import { KeyType, type Signature } from '../../gen/countersign/v1/common_pb.ts'
import { PoolMode, SignerKind, type Wallet, WalletOrigin, WalletState } from '../../gen/countersign/v1/wallet_pb.ts'
import type { CountersignClient } from '../../src/client/countersign-client.ts'
import { openSignStream } from '../../src/client/sign-stream.ts'
import { decodeBase58, encodeBase58 } from '../../src/domain/base58.ts'
import { addressOf, buildMessage, instruction } from '../payload/solana-cases.ts'
import { connect, newKey, newWallet, outcomeOf, reasonOf, refusalOf, sha256 } from './callers.ts'
import { transferOf } from './solana.ts'
import { makeDataDir, runCli, startDaemon, type TestDaemon } from './start-daemon.ts'
import { TO, transferFields } from './transactions.ts'

const { ED25519, SECP256K1 } = KeyType

let daemon: TestDaemon
let client: CountersignClient
let evm: Wallet
let sol: Wallet

beforeAll(async () => {
  daemon = await startDaemon()
  client = connect(daemon, daemon.adminKey)
  evm = await newWallet(client, 'both', '', SECP256K1)
  sol = await newWallet(client, 'both', '', ED25519)
})
afterAll(async () => {
  client.close()
  await daemon[Symbol.asyncDispose]()
})

const text = (value: string) => ({ case: 'text', value }) as const
const data = (value: Uint8Array) => ({ case: 'data', value }) as const
const keyOf = ({ publicKey }: Wallet) => new Uint8Array(Buffer.from(publicKey, 'hex'))
const utf8 = (value: string) => new Uint8Array(Buffer.from(value, 'utf8'))

/** RFC 8032 as noble reads it, and only the forms an Ed25519 signature has. */
const expectSigned = (signature: Signature | undefined, message: Uint8Array, wallet = sol) => {
  expect(signature).toMatchObject({ r: new Uint8Array(), s: new Uint8Array(), hex: '' })
  expect([signature?.v, signature?.yParity]).toEqual([undefined, undefined])
  const raw = signature?.raw ?? new Uint8Array()
  expect(raw).toHaveLength(64)
  expect(decodeBase58(signature?.base58 ?? '')).toEqual(raw)
  expect(ed25519.verify(raw, message, keyOf(wallet), { zip215: false })).toBe(true)
}

const TYPED_DATA = JSON.stringify({
  types: { Note: [{ name: 'text', type: 'string' }] },
  primaryType: 'Note',
  domain: { name: 'Notes', chainId: 1 },
  message: { text: 'x' },
})

/** One call an RPC that names a wallet. */
const CALLS = {
  get: (wallet) => client.wallets.getWallet({ wallet }),
  message: (wallet) => client.wallets.signMessage({ wallet, content: text('x') }),
  formatted: (wallet) => client.wallets.signMessage({ wallet, content: data(sha256('x')), isFormatted: true }),
  typedData: (wallet) => client.wallets.signTypedData({ wallet, typedDataJson: TYPED_DATA }),
  digest: (wallet) => client.wallets.signDigest({ wallet, digest: sha256('x') }),
  authorization: (wallet) => client.wallets.signAuthorization({ wallet, chainId: 1n, address: TO }),
  evm: (wallet) =>
    client.wallets.signTransaction({ wallet, transaction: { case: 'evm', value: transferFields({}) } as never }),
  solana: (wallet) =>
    client.wallets.signTransaction({ wallet, transaction: { case: 'solanaMessage', value: transferOf(sol, 1n) } }),
  warm: (wallet) => client.wallets.warmPresignatures({ wallet, depth: 2 }),
} as const satisfies Record<string, (wallet: string) => Promise<unknown>>
type CallName = keyof typeof CALLS
const NAMES = Object.keys(CALLS) as CallName[]
const outcomes = async (wallet: string) =>
  Object.fromEntries(await Promise.all(NAMES.map(async (name) => [name, await outcomeOf(CALLS[name](wallet))] as const)))

describe('CreateWallet', () => {
  it('answers a wallet whose address is its public key', () => {
    expect(sol).toMatchObject({
      userId: 'both',
      keyType: ED25519,
      label: '',
      state: WalletState.ACTIVE,
      origin: WalletOrigin.GENERATED,
    })
    expect(sol.publicKey).toMatch(/^[0-9a-f]{64}$/)
    expect(sol.address).toBe(encodeBase58(keyOf(sol)))
    expect(ed25519.Point.fromHex(sol.publicKey).isTorsionFree()).toBe(true)
    expect(evm.publicKey).toMatch(/^04[0-9a-f]{128}$/)
    expect(evm.walletId).not.toBe(sol.walletId)
  })

  it('makes one wallet of each kind for a user, and names it to who asks again', async () => {
    for (const [keyType, walletId] of [[ED25519, sol.walletId], [SECP256K1, evm.walletId]] as const) {
      const refusal = await refusalOf(newWallet(client, 'both', '', keyType))
      expect(refusal).toMatchObject({ code: 'ALREADY_EXISTS', reason: 'WALLET_ALREADY_EXISTS', metadata: { walletId } })
    }
    const request = { userId: 'again', keyType: ED25519, requestId: randomUUID() }
    const made = await Promise.all(Array.from({ length: 5 }, () => client.wallets.createWallet(request)))
    expect(new Set(made.map(({ wallet }) => wallet?.address)).size).toBe(1)
    expect(await reasonOf(newWallet(client, sol.address))).toBe('USER_ID_RESERVED')
  })

  it('is a command', async () => {
    const args = ['--endpoint', daemon.endpoints.grpc, '--api-key-file', `${daemon.dataDir}/admin.key`]
    const made = await runCli(['wallet', 'create', 'from-cli', '--key-type', 'ed25519', ...args])
    expect(made.stderr).toBe('')
    expect(made.stdout).toMatch(/key_type\s+ed25519/i)
    const signed = await runCli(['wallet', 'sign-message', 'from-cli', 'hello', ...args])
    const [, base58 = ''] = /^signature\s+(\S+)$/m.exec(signed.stdout) ?? []
    const { wallet } = await client.wallets.getWallet({ wallet: 'from-cli' })
    expect(ed25519.verify(decodeBase58(base58) ?? new Uint8Array(), utf8('hello'), keyOf(wallet as Wallet))).toBe(true)
    expect(signed.stdout).not.toContain('digest')
  })
})

describe('finding a wallet', () => {
  it('takes a Solana address exactly', async () => {
    for (const reference of [sol.address, sol.walletId]) {
      expect((await client.wallets.getWallet({ wallet: reference })).wallet).toEqual(sol)
    }
    const flip = (letter: string) => (letter === letter.toLowerCase() ? letter.toUpperCase() : letter.toLowerCase())
    const flipped = Array.from(sol.address, flip)
    for (const reference of [flipped.join(''), `${sol.address}1`, sol.address.slice(1), `0x${sol.publicKey}`]) {
      expect(await reasonOf(client.wallets.getWallet({ wallet: reference })), reference).toBe('WALLET_NOT_FOUND')
    }
  })

  it('never guesses between two kinds, unless the request decides', async () => {
    expect(await outcomes('both')).toEqual({
      get: 'WALLET_AMBIGUOUS',
      message: 'WALLET_AMBIGUOUS',
      formatted: 'WALLET_AMBIGUOUS',
      warm: 'WALLET_AMBIGUOUS',
      typedData: 'signed',
      digest: 'signed',
      authorization: 'signed',
      evm: 'signed',
      solana: 'signed',
    })
    const refusal = await refusalOf(CALLS.get('both'))
    expect(refusal.code).toBe('FAILED_PRECONDITION')
    expect(refusal.metadata['walletIds']?.split(',').toSorted()).toEqual([evm.walletId, sol.walletId].toSorted())
    for (const wallet of [evm, sol]) {
      const { keyType } = wallet
      expect((await client.wallets.getWallet({ wallet: 'both', keyType })).wallet).toEqual(wallet)
    }
    expect(await reasonOf(client.wallets.getWallet({ wallet: sol.walletId, keyType: SECP256K1 }))).toBe('WALLET_NOT_FOUND')
    expect(await reasonOf(client.wallets.archiveWallet({ wallet: 'both' }))).toBe('WALLET_AMBIGUOUS')
    const listed = async (keyType: KeyType) =>
      (await client.wallets.listWallets({ userId: 'both', keyType })).wallets.map(({ walletId }) => walletId)
    expect([await listed(ED25519), await listed(SECP256K1)]).toEqual([[sol.walletId], [evm.walletId]])
  })

  it('refuses what the kind of key cannot do, however it is named', async () => {
    await newWallet(client, 'sol-only', '', ED25519)
    const unsupported = { formatted: 'KEY_TYPE_UNSUPPORTED', typedData: 'KEY_TYPE_UNSUPPORTED', digest: 'KEY_TYPE_UNSUPPORTED' }
    const others = { authorization: 'KEY_TYPE_UNSUPPORTED', evm: 'KEY_TYPE_UNSUPPORTED' }
    const fine = { get: 'signed', message: 'signed', warm: 'signed' }
    for (const reference of [sol.walletId, sol.address]) {
      expect(await outcomes(reference)).toEqual({ ...fine, solana: 'signed', ...unsupported, ...others })
    }
    // The message asks for another wallet's signature.
    expect(await outcomes('sol-only')).toEqual({ ...fine, solana: 'TRANSACTION_INVALID', ...unsupported, ...others })
    expect(await outcomeOf(CALLS.solana(evm.walletId))).toBe('KEY_TYPE_UNSUPPORTED')
    expect(await refusalOf(CALLS.digest(sol.walletId))).toMatchObject({ code: 'FAILED_PRECONDITION', retryable: 'no' })
  })
})

describe('SignMessage', () => {
  it('signs the bytes themselves, text and data, the empty ones too', async () => {
    for (const value of ['', 'hello', 'grüße ✓', 'x'.repeat(200_000)]) {
      const answer = await client.wallets.signMessage({ wallet: sol.walletId, content: text(value) })
      expectSigned(answer.signature, utf8(value))
      expect(answer.digest).toEqual(new Uint8Array())
      expect(answer.receipt?.hash).toHaveLength(32)
    }
    const bytes = Uint8Array.from({ length: 256 }, (_, at) => at)
    expectSigned((await client.wallets.signMessage({ wallet: sol.address, content: data(bytes) })).signature, bytes)
  })

  it('signs the same message differently each time: nonces are not derived from it', async () => {
    const sign = () => client.wallets.signMessage({ wallet: sol.walletId, content: text('twice') })
    const answers = await Promise.all(Array.from({ length: 100 }, sign))
    expect(new Set(answers.map(({ signature }) => signature?.base58.slice(0, 40))).size).toBe(100)
    for (const { signature } of answers) expectSigned(signature, utf8('twice'))
  })

  it('refuses what passes for a Solana transaction, and signs off-chain messages', async () => {
    const transaction = transferOf(sol, 1n)
    for (const message of [transaction, Uint8Array.from([...transaction, 0]), transferOf(sol, 1n, { version: 'legacy' })]) {
      const refusal = await refusalOf(client.wallets.signMessage({ wallet: sol.walletId, content: data(message) }))
      expect(refusal).toMatchObject({ code: 'INVALID_ARGUMENT', reason: 'MESSAGE_IS_TRANSACTION' })
    }
    const [head, key, body] = [Buffer.from('\u00ffsolana offchain\u0001\u0001', 'latin1'), keyOf(sol), utf8('hello')]
    const offchain = new Uint8Array(Buffer.concat([head, key, body]))
    expectSigned((await client.wallets.signMessage({ wallet: sol.walletId, content: data(offchain) })).signature, offchain)
    // Nothing of Solana is in the way of a secp256k1 wallet: its messages have a prefix.
    expect(await outcomeOf(client.wallets.signMessage({ wallet: evm.walletId, content: data(transaction) }))).toBe('signed')
  })

  it('leaves an audit row that says what was signed', async () => {
    const { receipt } = await client.wallets.signMessage({ wallet: sol.walletId, content: text('for the record') })
    const from = receipt?.sequence ?? 1n
    const { events } = await client.audit.listEvents({ afterSequence: from - 1n, pageSize: 1 })
    const [event] = events
    expect(event?.hash).toEqual(receipt?.hash)
    expect(JSON.parse(event?.detailsJson ?? '{}')).toMatchObject({ operation: 'message', summary: 'message of 14 bytes' })
  })
})

describe('SignTransaction', () => {
  const sign = (value: Uint8Array, wallet = sol.walletId) =>
    client.wallets.signTransaction({ wallet, transaction: { case: 'solanaMessage', value } })

  it('refuses messages that are not canonical, of other versions, or for other signers', async () => {
    const good = transferOf(sol, 1n)
    const other = transferOf({ address: addressOf(9) }, 1n)
    const v1 = Uint8Array.from([0x81, ...good.subarray(1)])
    for (const bad of [Uint8Array.from([...good, 0]), good.subarray(0, -1), other, v1, new Uint8Array(100)]) {
      expect(await outcomeOf(sign(bad))).toBe('TRANSACTION_INVALID')
    }
  })

  it('names no transaction while another pays the fee', async () => {
    const message = buildMessage({
      payer: addressOf(7),
      instructions: [instruction(addressOf(8), [1], [[sol.address as never, 's']])],
    })
    const answer = await sign(message)
    expect(answer.transactionHash).toBe('')
    expectSigned(answer.signature, message)
    const [raw, zeros] = [answer.signature?.raw ?? new Uint8Array(), new Uint8Array(64)]
    expect(answer.signedTransaction).toEqual(Uint8Array.from([2, ...zeros, ...raw, ...message]))
  })
})

describe('VerifySignature', () => {
  const verify = (wallet: string, signature: Uint8Array, content: object = text('x')) =>
    client.wallets.verifySignature({ signer: { case: 'wallet', value: wallet }, content: content as never, signature })

  it('checks Ed25519 wallets of the project', async () => {
    const { signature } = await client.wallets.signMessage({ wallet: sol.walletId, content: text('x') })
    const raw = signature?.raw ?? new Uint8Array()
    const good = { signerKind: SignerKind.ED25519, recoveredAddress: '', digest: new Uint8Array() }
    expect(await verify(sol.address, raw)).toMatchObject({ valid: true, ...good })
    expect(await verify(sol.address, raw, text('y'))).toMatchObject({ valid: false, ...good })
    const bent = raw.slice()
    bent[63] = 0xff
    expect(await verify(sol.address, bent)).toMatchObject({ valid: false })
    for (const bad of [raw.subarray(1), Uint8Array.from([...raw, 27])]) {
      expect(await reasonOf(verify(sol.address, bad))).toBe('SIGNATURE_MALFORMED')
    }
    expect(await reasonOf(verify(sol.walletId, raw, { case: 'digest', value: sha256('x') }))).toBe('KEY_TYPE_UNSUPPORTED')
    expect(await reasonOf(verify('both', raw))).toBe('WALLET_AMBIGUOUS')
  })
})

describe('one request', () => {
  it('has one answer under a request_id, also when asked at once, streamed or not', async () => {
    const ask = { wallet: sol.walletId, content: text('once'), requestId: randomUUID() }
    const stream = openSignStream(client.wallets)
    const answers = await Promise.all([
      ...Array.from({ length: 8 }, () => client.wallets.signMessage(ask)),
      stream.sign('signMessage', ask),
    ])
    for (const answer of answers) expect(answer).toEqual(answers[0])
    expect(await reasonOf(client.wallets.signMessage({ ...ask, content: text('other') }))).toBe('IDEMPOTENCY_MISMATCH')
    await stream.close()
  })

  it('is one item of a stream beside those of the other kind', async () => {
    const stream = openSignStream(client.wallets)
    const ours = Array.from({ length: 200 }, (_, index) =>
      stream.sign('signMessage', { wallet: sol.walletId, content: text(`item ${index}`) }),
    )
    const theirs = Array.from({ length: 50 }, (_, index) =>
      stream.sign('signMessage', { wallet: evm.walletId, content: text(`item ${index}`) }),
    )
    const solana = stream.sign('signTransaction', {
      wallet: sol.walletId,
      transaction: { case: 'solanaMessage', value: transferOf(sol, 3n) },
    })
    const digest = outcomeOf(stream.sign('signDigest', { wallet: sol.walletId, digest: sha256('x') }))
    for (const [index, { signature }] of (await Promise.all(ours)).entries()) expectSigned(signature, utf8(`item ${index}`))
    for (const { signature } of await Promise.all(theirs)) expect(signature?.hex).toMatch(/^0x[0-9a-f]{130}$/)
    expectSigned((await solana).signature, transferOf(sol, 3n))
    expect(await digest).toBe('KEY_TYPE_UNSUPPORTED')
    await stream.close()
  })
})

describe('pools', () => {
  it('are filled for Ed25519 wallets, and used up without waiting', async () => {
    await newWallet(client, 'warm-sol', '', ED25519)
    expect((await client.wallets.warmPresignatures({ wallet: 'warm-sol', depth: 80 })).depth).toBe(80)
    const ask = { wallet: 'warm-sol', content: text('x'), poolMode: PoolMode.FAIL }
    await Promise.all(Array.from({ length: 60 }, () => client.wallets.signMessage(ask)))
  })
})

describe('stopping a wallet', () => {
  it('releases nothing after a freeze, and goes on when it is lifted', async () => {
    const frozen = await newWallet(client, 'frozen-sol', '', ED25519)
    const sign = () => outcomeOf(client.wallets.signMessage({ wallet: frozen.walletId, content: text('x') }))
    const target = { scope: FreezeScope.WALLET, id: frozen.walletId }
    const running = Array.from({ length: 40 }, sign)
    await client.admin.freeze(target)
    expect(await sign()).toBe('FROZEN')
    for (const outcome of await Promise.all(running)) expect(['signed', 'FROZEN']).toContain(outcome)
    expect(await outcomeOf(CALLS.message(sol.walletId))).toBe('signed')
    await client.admin.unfreeze(target)
    expect(await sign()).toBe('signed')
  })

  it('archives one kind and leaves the other', async () => {
    const [first, second] = [await newWallet(client, 'half', '', SECP256K1), await newWallet(client, 'half', '', ED25519)]
    await client.wallets.archiveWallet({ wallet: second.address })
    expect(await outcomeOf(CALLS.message(second.walletId))).toBe('WALLET_ARCHIVED')
    expect((await client.wallets.getWallet({ wallet: 'half' })).wallet?.walletId).toBe(first.walletId)
    expect((await newWallet(client, 'half', '', ED25519)).address).not.toBe(second.address)
  })

  it('keeps other projects and keys for other wallets out', async () => {
    const key = await newKey(client, [{ name: 'wallet:sign', wallets: [evm.walletId] }])
    const bot = connect(daemon, key.secret)
    const sign = (wallet: string) => outcomeOf(bot.wallets.signMessage({ wallet, content: text('x') }))
    expect([await sign(evm.walletId), await sign(sol.walletId)]).toEqual(['signed', 'PERMISSION_MISSING'])
    bot.close()
    await client.admin.createProject({ projectId: 'ed-rival', displayName: '' })
    const rival = connect(daemon, (await newKey(client, [{ name: 'wallet:sign' }], { projectId: 'ed-rival' })).secret)
    for (const wallet of [sol.walletId, sol.address, 'both']) {
      expect(await outcomeOf(rival.wallets.signMessage({ wallet, content: text('x') }))).toBe('WALLET_NOT_FOUND')
    }
    rival.close()
  })
})

describe('a restart', () => {
  it.each(['SIGTERM', 'SIGKILL'] as const)('after %s keeps the wallet, its answers and its single use', async (signal) => {
    const dataDir = makeDataDir()
    const ask = { wallet: 'phoenix', content: text('before'), requestId: randomUUID() }
    let made: Wallet
    let answered: unknown
    {
      await using first = await startDaemon({ dataDir, keepData: true })
      const caller = connect(first, first.adminKey)
      made = await newWallet(caller, 'phoenix', '', ED25519)
      answered = await caller.wallets.signMessage(ask)
      const pending = Array.from({ length: 20 }, () => outcomeOf(caller.wallets.signMessage({ ...ask, requestId: '' })))
      await first.kill(signal)
      await Promise.all(pending)
      caller.close()
    }
    await using second = await startDaemon({ dataDir })
    const caller = connect(second, second.adminKey)
    expect((await caller.wallets.getWallet({ wallet: made.address })).wallet).toEqual(made)
    expect(await caller.wallets.signMessage(ask)).toEqual(answered)
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, index) => caller.wallets.signMessage({ wallet: 'phoenix', content: text(`${index}`) })),
    )
    for (const [index, { signature }] of answers.entries()) expectSigned(signature, utf8(`${index}`), made)
    expect((await caller.audit.verifyChain({})).firstBadSequence).toBe(0n)
    caller.close()
  })
})

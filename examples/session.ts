/**
 * A session key for one bot, validated before it is used, in the order that DerivaDEX's guide gives: the end, the key,
 * the scope, one action within it that is accepted and one beyond it that is rejected.
 *
 *   npm run example:session
 *
 * starts a daemon on a temporary directory and uses it. To use one that already runs:
 *
 *   npm run example:session -- --socket .countersign/countersign.sock --api-key-file .countersign/admin.key
 */
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { timestampFromMs, timestampMs } from '@bufbuild/protobuf/wkt'
import { recoverAddress } from 'viem'
import { KeyType } from '../gen/countersign/v1/common_pb.ts'
import { ActionSignerKind, SessionKeyState, SessionScope } from '../gen/countersign/v1/session_key_pb.ts'
import { type CountersignClientOptions, createCountersignClient } from '../src/client/countersign-client.ts'
import { CountersignError } from '../src/client/countersign-error.ts'
import { startDaemon } from '../test/e2e/start-daemon.ts'

const print = (line: string) => process.stdout.write(`${line}\n`)
const check = (what: string, holds: boolean, detail = ''): void => {
  print(`${holds ? 'ok  ' : 'FAIL'} ${what}${detail === '' ? '' : `: ${detail}`}`)
  if (!holds) process.exitCode = 1
}
const hex = (bytes: Uint8Array): `0x${string}` => `0x${Buffer.from(bytes).toString('hex')}`

const { values } = parseArgs({
  options: { endpoint: { type: 'string' }, socket: { type: 'string' }, 'api-key-file': { type: 'string' } },
})

await using resources = new AsyncDisposableStack()

const connection = async (): Promise<CountersignClientOptions> => {
  const { endpoint, socket, 'api-key-file': keyFile } = values
  const apiKey = keyFile === undefined ? undefined : readFileSync(keyFile, 'utf8').trim()
  if (endpoint !== undefined || socket !== undefined) return { endpoint, socketPath: socket, apiKey }
  const daemon = resources.use(await startDaemon())
  return { socketPath: daemon.endpoints.socket, apiKey: daemon.adminKey }
}

const client = resources.use(createCountersignClient(await connection()))

// 1. A wallet, and a key pair for automation alone: the private half never leaves the daemon's signing thread.
const { wallet } = await client.wallets.createWallet({ userId: `bot-${randomUUID()}`, keyType: KeyType.SECP256K1 })
if (wallet === undefined) throw new Error('the answer holds no wallet')

// 2. The narrowest scope, an explicit end, and the wallet's signature over both: the delegated payload.
const endMs = Date.now() + 30 * 60_000
const venue = { profile: 'derivadex', network: 'sepolia' }
const { sessionKey, delegatedPayload } = await client.sessionKeys.createSessionKey({
  wallet: wallet.walletId,
  ...venue,
  scopes: [SessionScope.ORDER],
  expireTime: timestampFromMs(endMs),
  limits: { markets: ['ETHP'], maxSize: '5' },
  requestId: randomUUID(),
})
if (sessionKey === undefined) throw new Error('the answer holds no session key')
const { sessionKeyId } = sessionKey
print(`wallet       ${wallet.address}`)
print(`session key  ${sessionKeyId} ${sessionKey.address}`)
print(`payload      ${hex(delegatedPayload)}`)

// 3. The end lies within the automation window.
const expireMs = sessionKey.expireTime === undefined ? 0 : timestampMs(sessionKey.expireTime)
check('expiry', expireMs > Date.now() && expireMs <= endMs, new Date(expireMs).toISOString())

// 4. The payload's key is the one that signs requests.
const actionJson = JSON.stringify({
  symbol: 'ETHP',
  strategy: 'main',
  side: 'Bid',
  orderType: 'Limit',
  amount: '1',
  price: '2000',
  stopPrice: '0',
})
const signed = await client.sessionKeys.signAction({ sessionKeyId, family: 'order', actionJson })
const signature = signed.signature?.raw ?? new Uint8Array()
const signer = await recoverAddress({ hash: hex(signed.digest), signature: hex(signature) })
const y = Number.parseInt(sessionKey.publicKey.slice(-1), 16)
const compressed = `${y % 2 === 0 ? '02' : '03'}${sessionKey.publicKey.slice(2, 66)}`
check('key match', signer === sessionKey.address && hex(delegatedPayload).endsWith(compressed), signer)

// 5. The scope covers the family it is for, and nothing else.
const { families } = await client.sessionKeys.testScope({ sessionKeyId })
const accepted = families.filter((verdict) => verdict.accepted).map(({ family }) => family)
check('narrow scope', accepted.join() === 'order', `accepts ${accepted.join(', ')}`)

// 6. One request within the scope is accepted, as the venue's operator judges it.
const verified = await client.sessionKeys.verifyAction({
  ...venue,
  family: 'order',
  actionJson,
  nonce: signed.nonce,
  signature,
  delegatedPayload,
  wallet: wallet.address,
})
check('in scope', verified.signerKind === ActionSignerKind.SESSION, `accepted, receipt ${verified.receipt?.sequence}`)

// 7. One beyond it is rejected before the key is touched.
const reasonOf = async (call: Promise<unknown>): Promise<string> =>
  call.then(
    () => 'accepted',
    (error: unknown) => (error instanceof CountersignError ? (error.reason ?? 'unknown') : String(error)),
  )
const beyond = { sessionKeyId, family: 'cancel_all', actionJson: '{"symbol":"ETHP","strategy":"main"}' }
const rejected = await reasonOf(client.sessionKeys.signAction(beyond))
check('out of scope', rejected === 'SESSION_ACL_VIOLATION', rejected)

// 8. When the host is compromised, or the day is over.
const { sessionKey: revoked } = await client.sessionKeys.revokeSessionKey({ sessionKeyId })
const after = await reasonOf(client.sessionKeys.signAction({ sessionKeyId, family: 'order', actionJson }))
check('revocation', revoked?.state === SessionKeyState.REVOKED && after === 'SESSION_REVOKED', after)

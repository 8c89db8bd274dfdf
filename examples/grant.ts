/**
 * A person lets their project sign without them for a while, and takes that back. Three times:
 *
 *   1. signed in with a JWT of the project, over gRPC with the client of this repository
 *   2. signed in with a code by e-mail, likewise
 *   3. over Connect with JSON, each request signed by `generateWalletJwt` of the published @coinbase/cdp-sdk as it is
 *
 *   npm run example:grant
 *
 * starts a daemon on a temporary directory, and a mail server for the codes.
 */
import { generateKeyPairSync, sign } from 'node:crypto'
import { timestampFromMs } from '@bufbuild/protobuf/wkt'
import { generateWalletJwt } from '@coinbase/cdp-sdk/auth'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { verifyMessage } from 'viem'
import { KeyType } from '../gen/countersign/v1/common_pb.ts'
import { OwnerType, type Wallet } from '../gen/countersign/v1/wallet_pb.ts'
import { type CountersignClient, createCountersignClient } from '../src/client/countersign-client.ts'
import { CountersignError } from '../src/client/countersign-error.ts'
import { newKey } from '../test/e2e/callers.ts'
import { startDaemon } from '../test/e2e/start-daemon.ts'
import { codeIn, startMailServer } from '../test/user/support/mail-server.ts'

const HOUR_MS = 3_600_000
const PROJECT = 'default'
const ISSUER = 'https://shop.example'

const print = (what: string, value: string) => process.stdout.write(`${what.padEnd(16)} ${value}\n`)
const heading = (text: string) => process.stdout.write(`\n${text}\n`)
const inMs = (ms: number) => timestampFromMs(Date.now() + ms)
const present = <T>(value: T | undefined): T => {
  if (value === undefined) throw new Error('the answer holds less than it should')
  return value
}

await using resources = new AsyncDisposableStack()
const mail = resources.use(await startMailServer())
const daemon = resources.use(
  await startDaemon({
    args: [
      '--smtp-server', `127.0.0.1:${mail.port}`, '--smtp-security', 'none', '--smtp-from', 'signin@shop.example',
      '--egress-allow', '127.0.0.1/32',
    ],
  }),
)
print('daemon', `${daemon.endpoints.grpc}, ${daemon.endpoints.connect}`)
const connectTo = (rest: object): CountersignClient =>
  resources.use(createCountersignClient({ endpoint: daemon.endpoints.grpc, ...rest }))

// The operator: delegation is on, and people sign in with the shop's own JWTs or with a code by e-mail.
const shopKey = await generateKeyPair('ES256')
const jwksJson = JSON.stringify({ keys: [{ ...(await exportJWK(shopKey.publicKey)), kid: 'shop', alg: 'ES256', use: 'sig' }] })
const admin = connectTo({ apiKey: daemon.adminKey })
await admin.admin.updateProject({
  project: { projectId: PROJECT, delegationEnabled: true, jwtSignIn: { issuer: ISSUER, audiences: ['wallets'], jwksJson }, emailSignIn: {} },
  updateMask: { paths: ['delegation_enabled', 'jwt_sign_in', 'email_sign_in'] },
})

// The shop's server: an API key that may sign, and nothing more. Nobody has told it which wallets.
const shop = connectTo({ apiKey: (await newKey(admin, [{ name: 'wallet:sign' }])).secret })
const anyone = connectTo({})

/** The shop signs; the signature is checked here, as a chain would. */
const signAbsent = async ({ walletId, address }: Pick<Wallet, 'walletId' | 'address'>): Promise<void> => {
  const { signature, receipt } = await shop.wallets.signMessage({ wallet: walletId, content: { case: 'text', value: 'order 7' } })
  const hex = present(signature).hex as `0x${string}`
  const isGood = await verifyMessage({ address: address as `0x${string}`, message: 'order 7', signature: hex })
  if (!isGood) throw new Error('the signature does not verify')
  print('shop signs', `${hex.slice(0, 20)}…, on record as ${present(receipt).sequence}`)
}

/** The shop tries to sign and is refused. Answers why. */
const refusedAbsent = async ({ walletId }: Pick<Wallet, 'walletId'>, expected: string): Promise<void> => {
  const attempt = shop.wallets.signMessage({ wallet: walletId, content: { case: 'text', value: 'order 8' } })
  const error: unknown = await attempt.then(
    () => new Error('the shop signed'),
    (thrown: unknown) => thrown,
  )
  if (!(error instanceof CountersignError) || error.reason !== expected) throw error
  print('shop is refused', `${error.reason}: ${error.message}`)
}

/** What a device keeps: a P-256 key that never leaves it. */
const newDevice = () => {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return {
    publicKey: publicKey.export({ format: 'der', type: 'spki' }).toString('base64'),
    pkcs8: privateKey.export({ format: 'der', type: 'pkcs8' }).toString('base64'),
    sign: (bytes: Uint8Array) => new Uint8Array(sign('sha256', bytes, { key: privateKey, dsaEncoding: 'ieee-p1363' })),
  }
}

/** Wallet secret → wallet → grant → the shop signs → the grant is taken back. */
const overGrpc = async (userId: string, accessToken: string): Promise<void> => {
  const device = newDevice()
  const person = connectTo({ endUser: { accessToken, walletSecret: device } })
  await person.endUsers.registerWalletSecret({ publicKey: device.publicKey, validUntil: inMs(HOUR_MS) })
  const created = await person.wallets.createWallet({ userId, keyType: KeyType.SECP256K1, ownerType: OwnerType.END_USER })
  const wallet = present(created.wallet)
  print('wallet', wallet.address)
  await refusedAbsent(wallet, 'GRANT_NOT_FOUND')
  const { grant } = await person.delegation.createGrant({ scope: { case: 'userId', value: userId }, expireTime: inMs(HOUR_MS) })
  print('grant', present(grant).grantId)
  await signAbsent(wallet)
  await person.delegation.revokeGrant({ grantId: present(grant).grantId })
  await refusedAbsent(wallet, 'GRANT_REVOKED')
}

// 1. With a JWT of the shop.
heading('with a JWT of the project')
const jwtOf = (userId: string): Promise<string> =>
  new SignJWT({})
    .setProtectedHeader({ alg: 'ES256', kid: 'shop' })
    .setIssuer(ISSUER)
    .setAudience('wallets')
    .setSubject(userId)
    .setIssuedAt()
    .setExpirationTime('5m')
    .sign(shopKey.privateKey)
const byJwt = present((await anyone.endUsers.authenticateWithJwt({ projectId: PROJECT, jwt: await jwtOf('alice') })).signIn)
print('signed in', present(byJwt.endUser).userId)
await overGrpc('alice', byJwt.accessToken)

// 2. With a code by e-mail.
heading('with a code by e-mail')
const email = 'bob@mail.example'
const { flowId } = await anyone.endUsers.startEmailCode({ projectId: PROJECT, email })
const letter = present(mail.mails.findLast(({ to }) => to.includes(email)))
const byEmail = present((await anyone.endUsers.verifyEmailCode({ projectId: PROJECT, flowId, code: codeIn(letter) })).signIn)
const bob = present(byEmail.endUser).userId
print('signed in', `${bob} by a code to ${email}`)
await overGrpc(bob, byEmail.accessToken)

// 3. Over Connect with JSON. The wallet secret is one of the CDP SDK, and so is what it signs.
heading('over Connect with JSON and the CDP SDK')
const byJson = present((await anyone.endUsers.authenticateWithJwt({ projectId: PROJECT, jwt: await jwtOf('carol') })).signIn)
const phone = newDevice()

const post = async (method: string, body: Record<string, unknown>): Promise<Record<string, Record<string, string>>> => {
  const path = `/countersign.v1.${method}`
  const xWalletAuth = await generateWalletJwt({
    walletSecret: phone.pkcs8,
    requestMethod: 'POST',
    requestHost: daemon.endpoints.connect,
    requestPath: path,
    requestData: body,
  })
  const answer = await fetch(`http://${daemon.endpoints.connect}${path}`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      authorization: `Bearer ${byJson.accessToken}`,
      'x-wallet-auth': xWalletAuth,
    },
    body: JSON.stringify(body),
  })
  const text = await answer.text()
  if (!answer.ok) throw new Error(`${method}: ${answer.status} ${text}`)
  return JSON.parse(text) as Record<string, Record<string, string>>
}

const soon = new Date(Date.now() + HOUR_MS).toISOString()
await post('EndUserService/RegisterWalletSecret', { publicKey: phone.publicKey, validUntil: soon, walletSecretId: 'phone-1' })
const owned = { userId: 'carol', keyType: 'KEY_TYPE_SECP256K1', ownerType: 'OWNER_TYPE_END_USER' }
const wallet = present((await post('WalletService/CreateWallet', owned))['wallet']) as unknown as Wallet
print('wallet', wallet.address)
const own = await post('WalletService/SignMessage', { wallet: wallet.walletId, text: 'é <self> & more' })
print('carol signs', `${present(own['signature'])['hex']?.slice(0, 20)}…`)
await refusedAbsent(wallet, 'GRANT_NOT_FOUND')
const given = present((await post('DelegationService/CreateGrant', { address: wallet.address, expireTime: soon }))['grant'])
print('grant', `${given['grantId']} over ${given['address']}`)
await signAbsent(wallet)
await post('DelegationService/RevokeGrant', { grantId: given['grantId'] })
await refusedAbsent(wallet, 'GRANT_REVOKED')
heading('three grants, given and taken back')

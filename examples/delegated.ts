/**
 * A person lets another server sign with their wallet, and takes that back. Three processes with a vault each: the daemon,
 * its cosigner, and the delegate, which is a daemon too.
 *
 *   npm run example:delegated
 *
 * starts all three on temporary directories.
 */
import { generateKeyPairSync, sign } from 'node:crypto'
import { rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { timestampFromMs } from '@bufbuild/protobuf/wkt'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { verifyMessage } from 'viem'
import { WebhookFormat } from '../gen/countersign/v1/admin_pb.ts'
import { KeyType } from '../gen/countersign/v1/common_pb.ts'
import { ImportedAccessState } from '../gen/countersign/v1/delegate_side_pb.ts'
import { OwnerType } from '../gen/countersign/v1/wallet_pb.ts'
import { type CountersignClient, createCountersignClient } from '../src/client/countersign-client.ts'
import { CountersignError } from '../src/client/countersign-error.ts'
import { delegateAccess } from '../src/client/delegate-access.ts'
import { proveWalletSecret } from '../src/client/wallet-secret.ts'
import { makePair, startCosigner } from '../test/e2e/start-cosigner.ts'
import { makeDataDir, startDaemon } from '../test/e2e/start-daemon.ts'

const HOUR_MS = 3_600_000
const ISSUER = 'https://shop.example'

const print = (what: string, value: string) => process.stdout.write(`${what.padEnd(16)} ${value}\n`)
const heading = (text: string) => process.stdout.write(`\n${text}\n`)
const present = <T>(value: T | undefined): T => {
  if (value === undefined) throw new Error('the answer holds less than it should')
  return value
}
const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

/** A port that was free a moment ago: each of the two has to know the other before it starts. */
const freePort = async (): Promise<number> => {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

await using resources = new AsyncDisposableStack()
const connectTo = (endpoint: string, rest: object): CountersignClient =>
  resources.use(createCountersignClient({ endpoint, ...rest }))

heading('three processes')
const pair = await makePair()
resources.defer(() => pair.remove())
const cosigner = await startCosigner(pair.cosignerDir)
resources.defer(() => cosigner.kill('SIGKILL'))
print('cosigner', cosigner.address)
const daemon = resources.use(
  await startDaemon({ dataDir: pair.base, keepData: true, args: ['--cosigner', cosigner.address, '--egress-allow', '127.0.0.1/32'] }),
)
print('daemon', daemon.endpoints.grpc)
const admin = connectTo(daemon.endpoints.grpc, { apiKey: daemon.adminKey })

// The daemon tells the delegate by webhook; the delegate knows the daemon by its party id and the webhook by its secret.
const port = await freePort()
const { webhook, secret } = await admin.admin.createWebhook({
  url: `http://127.0.0.1:${port}/webhooks/dynamic`, format: WebhookFormat.DYNAMIC,
})
const { partyId } = await admin.admin.listDelegateKeys({})
const base = makeDataDir()
resources.defer(() => rmSync(base, { recursive: true, force: true }))
const [secretFile, configFile] = [join(base, 'webhook.secret'), join(base, 'countersign.toml')]
writeFileSync(secretFile, secret, { mode: 0o600 })
writeFileSync(
  configFile,
  `[[granting_daemon]]
name = "shop"
url = "http://${daemon.endpoints.grpc}"
party_id = "${hexOf(partyId)}"

[[delegation_webhook]]
secret_file = "${secretFile}"
`,
)
const sidecar = resources.use(
  await startDaemon({ dataDir: base, keepData: true, args: ['--config', configFile, '--connect-listen', `127.0.0.1:${port}`] }),
)
print('delegate', sidecar.endpoints.grpc)
const bot = connectTo(sidecar.endpoints.grpc, { apiKey: sidecar.adminKey })

// The delegate's keys: what is sealed to it, and who it is. The person gets them from whoever runs the delegate.
const key = present((await bot.admin.createDelegateKey({})).key)
const { identityPublicKey } = await bot.admin.listDelegateKeys({})
const { delegate } = await admin.delegation.registerDelegate({
  name: 'bot', identityPublicKey, publicKeyPem: key.publicKeyPem, kid: key.kid, webhookId: present(webhook).webhookId,
})
print('registered', `${present(delegate).delegateId} with key ${key.kid}`)

heading('a person with a wallet')
const shopKey = await generateKeyPair('ES256')
const jwksJson = JSON.stringify({ keys: [{ ...(await exportJWK(shopKey.publicKey)), kid: 'shop', alg: 'ES256', use: 'sig' }] })
await admin.admin.updateProject({
  project: { projectId: 'default', jwtSignIn: { issuer: ISSUER, audiences: ['wallets'], jwksJson } },
  updateMask: { paths: ['jwt_sign_in'] },
})
const jwt = await new SignJWT({})
  .setProtectedHeader({ alg: 'ES256', kid: 'shop' })
  .setIssuer(ISSUER)
  .setAudience('wallets')
  .setSubject('alice')
  .setIssuedAt()
  .setExpirationTime('5m')
  .sign(shopKey.privateKey)
const { signIn } = await connectTo(daemon.endpoints.grpc, {}).endUsers.authenticateWithJwt({ projectId: 'default', jwt })
const device = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const spki = device.publicKey.export({ format: 'der', type: 'spki' })
const walletSecret = {
  publicKey: new Uint8Array(spki),
  sign: (bytes: Uint8Array) => new Uint8Array(sign('sha256', bytes, { key: device.privateKey, dsaEncoding: 'ieee-p1363' })),
}
const alice = connectTo(daemon.endpoints.grpc, { endUser: { accessToken: present(signIn).accessToken, walletSecret } })
const validUntil = timestampFromMs(Date.now() + HOUR_MS)
await alice.endUsers.registerWalletSecret({ publicKey: spki.toString('base64'), validUntil })
const cosignerId = present((await admin.admin.getStatus({})).status).cosignerId
// The cosigner's own register: the first secret is bound in the request that makes the first wallet.
const bound = await proveWalletSecret({ cosignerId, projectId: 'default', userId: 'alice' }, walletSecret)
const { wallet } = await alice.wallets.createWallet({
  userId: 'alice', keyType: KeyType.SECP256K1, ownerType: OwnerType.END_USER, walletSecret: bound,
})
const address = present(wallet).address as `0x${string}`
print('wallet', address)

heading('delegated')
const { access } = await delegateAccess(alice, {
  wallet: address,
  address,
  cosignerId,
  delegateId: present(delegate).delegateId,
  delegate: { identityPublicKey, publicKeyPem: key.publicKeyPem },
  consent: { walletSecret },
  expireTime: new Date(Date.now() + HOUR_MS),
})
const { delegatedAccessId } = present(access)
print('access', delegatedAccessId)
/** It comes by webhook, and its share is replaced together with the daemon at once. */
const arrived = async () => {
  for (;;) {
    const { accesses } = await bot.delegation.listImportedAccess({})
    const [one] = accesses
    if (one?.state === ImportedAccessState.ACTIVE) return one
    await sleep(50)
  }
}
const imported = await arrived()
print('at the delegate', `${imported.address}, from ${imported.grantingDaemon}`)

const signAsDelegate = (text: string) =>
  bot.delegation.delegatedSignMessage({ access: address, content: { case: 'text', value: text } })
const { signature, receipt } = await signAsDelegate('order 7')
const hex = present(signature).hex as `0x${string}`
if (!(await verifyMessage({ address, message: 'order 7', signature: hex }))) throw new Error('the signature does not verify')
print('delegate signs', `${hex.slice(0, 20)}…, on its record as ${present(receipt).sequence}`)

heading('taken back')
await alice.delegation.revokeDelegatedAccess({ delegatedAccessId })
const attempt = signAsDelegate('order 8')
const error: unknown = await attempt.then(
  () => new Error('the delegate signed'),
  (thrown: unknown) => thrown,
)
if (!(error instanceof CountersignError) || error.reason !== 'IMPORTED_ACCESS_ENDED') throw error
print('refused', `${error.reason}: ${error.message}`)
for (const [name, client] of [['daemon', admin], ['delegate', bot]] as const) {
  const { checkedCount, valid } = await client.audit.verifyChain({})
  if (!valid) throw new Error(`the audit chain of the ${name} is broken`)
  print(`${name}'s audit`, `${checkedCount} rows, intact`)
}

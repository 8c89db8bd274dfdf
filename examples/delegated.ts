/**
 * A person lets another server sign with their wallet, and takes that back. Three processes with a vault each: the daemon,
 * its cosigner, and the delegate, which is a daemon too.
 *
 *   npm run example:delegated
 *
 * starts all three on temporary directories: each in a network namespace of its own, joined by cables and TLS as three
 * machines would be, where this user may make namespaces (root on Linux); on the loopback where not, or with `-- --loopback`.
 */
import { generateKeyPairSync, sign } from 'node:crypto'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { timestampFromMs } from '@bufbuild/protobuf/wkt'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { verifyMessage } from 'viem'
import { WebhookFormat } from '../gen/countersign/v1/admin_pb.ts'
import { KeyType } from '../gen/countersign/v1/common_pb.ts'
import { OwnerType } from '../gen/countersign/v1/wallet_pb.ts'
import { type CountersignClient, createCountersignClient } from '../src/client/countersign-client.ts'
import { CountersignError } from '../src/client/countersign-error.ts'
import { delegateAccess } from '../src/client/delegate-access.ts'
import { proveWalletSecret } from '../src/client/wallet-secret.ts'
import { canMakeNamespaces } from '../test/e2e/network-namespaces.ts'
import { makePair, startCosigner } from '../test/e2e/start-cosigner.ts'
import { makeDataDir, startDaemon, type TestDaemon } from '../test/e2e/start-daemon.ts'
import { placesInNamespaces, placesOnLoopback } from '../test/e2e/three-hosts.ts'

const HOUR_MS = 3_600_000
const ISSUER = 'https://shop.example'

const print = (what: string, value: string) => process.stdout.write(`${what.padEnd(16)} ${value}\n`)
const heading = (text: string) => process.stdout.write(`\n${text}\n`)
const present = <T>(value: T | undefined): T => {
  if (value === undefined) throw new Error('the answer holds less than it should')
  return value
}
const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

await using resources = new AsyncDisposableStack()

heading('three processes')
const pair = await makePair()
resources.defer(() => pair.remove())
const base = makeDataDir()
resources.defer(() => rmSync(base, { recursive: true, force: true }))
const isApart = !process.argv.includes('--loopback') && (await canMakeNamespaces())
const places = resources.use(isApart ? await placesInNamespaces(base) : await placesOnLoopback())
print('joined by', isApart ? 'cables between network namespaces, over TLS' : 'the loopback')
/** Callers are on the same machine as the daemon they call. */
const connectTo = ({ endpoints }: TestDaemon, rest: object): CountersignClient =>
  resources.use(createCountersignClient({ ...places.callersWay(endpoints), ...rest }))

const cosigner = await startCosigner(pair.cosignerDir, { address: places.listen.cosigner, through: places.through('cosigner') })
resources.defer(() => cosigner.kill('SIGKILL'))
print('cosigner', cosigner.address)
const authority = (option: string): string[] => (places.authorityFile === undefined ? [] : [option, places.authorityFile])
const daemon = resources.use(
  await startDaemon({
    dataDir: pair.base,
    keepData: true,
    args: [
      '--cosigner', cosigner.address, '--grpc-listen', places.listen.daemon, ...places.tlsArgs('daemon'),
      // The delegate's webhook is at an address that is nobody's on the internet.
      '--egress-allow', `${places.listen.sidecar.split(':')[0]}/32`, ...authority('--egress-ca-file'),
    ],
    through: places.through('daemon'),
  }),
)
print('daemon', daemon.endpoints.grpc)
const admin = connectTo(daemon, { apiKey: daemon.adminKey })

// The daemon tells the delegate by webhook; the delegate knows the daemon by its party id and the webhook by its secret.
const { webhook, secret } = await admin.admin.createWebhook({
  url: `${places.scheme}://${places.listen.sidecar}/webhooks/dynamic`, format: WebhookFormat.DYNAMIC,
})
const { partyId } = await admin.admin.listDelegateKeys({})
const [secretFile, configFile] = [join(base, 'webhook.secret'), join(base, 'countersign.toml')]
writeFileSync(secretFile, secret, { mode: 0o600 })
writeFileSync(
  configFile,
  `[[granting_daemon]]
name = "shop"
url = "${places.scheme}://${daemon.endpoints.grpc}"
party_id = "${hexOf(partyId)}"
${places.authorityFile === undefined ? '' : `ca_file = "${places.authorityFile}"`}

[[delegation_webhook]]
secret_file = "${secretFile}"
`,
)
const sidecar = resources.use(
  await startDaemon({
    dataDir: base,
    keepData: true,
    args: ['--config', configFile, '--connect-listen', places.listen.sidecar, ...places.tlsArgs('sidecar')],
    through: places.through('sidecar'),
  }),
)
print('delegate', sidecar.endpoints.grpc)
const bot = connectTo(sidecar, { apiKey: sidecar.adminKey })

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
const { signIn } = await connectTo(daemon, {}).endUsers.authenticateWithJwt({ projectId: 'default', jwt })
const device = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const spki = device.publicKey.export({ format: 'der', type: 'spki' })
const walletSecret = {
  publicKey: new Uint8Array(spki),
  sign: (bytes: Uint8Array) => new Uint8Array(sign('sha256', bytes, { key: device.privateKey, dsaEncoding: 'ieee-p1363' })),
}
const alice = connectTo(daemon, { endUser: { accessToken: present(signIn).accessToken, walletSecret } })
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
/** It comes by webhook. Its share is replaced together with the daemon at once, or else before it signs first. */
const arrived = async () => {
  for (;;) {
    const { accesses } = await bot.delegation.listImportedAccess({})
    const [one] = accesses
    if (one !== undefined) return one
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

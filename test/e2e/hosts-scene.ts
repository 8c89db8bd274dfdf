/** The three processes of the hosts' campaign, who calls them, and the people whose wallets are delegated. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { timestampFromMs } from '@bufbuild/protobuf/wkt'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { OwnerType } from '../../gen/countersign/v1/wallet_pb.ts'
import { type CountersignClient, createCountersignClient } from '../../src/client/countersign-client.ts'
import type { PinnedDelegate } from '../../src/client/delegate-access.ts'
import { proveWalletSecret, type WalletSecret } from '../../src/client/wallet-secret.ts'
import { identityPaths, readPairing } from '../../src/party/remote/identity-files.ts'
import { verifyAuditFile } from '../../src/vault/verify-audit-files.ts'
import { must } from './campaign.ts'
import { type Device, newDevice } from './end-users.ts'
import { healthOf } from './health.ts'
import { makePair, startCosigner, type TestCosigner } from './start-cosigner.ts'
import { makeDataDir, startDaemon, type TestDaemon } from './start-daemon.ts'
import { HOSTS, type Host, placesInNamespaces, placesOnLoopback } from './three-hosts.ts'

const ISSUER = 'https://shop.example'
const HOUR_MS = 3_600_000

const certificatesIn = (base: string): string => {
  const directory = join(base, 'certificates')
  mkdirSync(directory)
  return directory
}

export const openHosts = async (inNamespaces: boolean) => {
  const pair = await makePair()
  const sidecarBase = makeDataDir()
  const places = inNamespaces ? await placesInNamespaces(certificatesIn(pair.base)) : await placesOnLoopback()
  const party = readPairing(identityPaths(pair.daemonDir).own)
  if (party === undefined) throw new Error('no pairing')
  const running: { daemon?: TestDaemon; cosigner?: TestCosigner; sidecar?: TestDaemon } = {}
  const at: Record<Host, string> = { ...places.listen }
  const configFile = join(sidecarBase, 'countersign.toml')

  const start = {
    cosigner: async () => {
      running.cosigner = await startCosigner(pair.cosignerDir, { address: at.cosigner, through: places.through('cosigner') })
      at.cosigner = running.cosigner.address
    },
    daemon: async () => {
      const args = ['--cosigner', at.cosigner, '--grpc-listen', at.daemon, '--crypto-workers', '1', ...places.tlsArgs('daemon')]
      running.daemon = await startDaemon({ dataDir: pair.base, keepData: true, args, through: places.through('daemon') })
      at.daemon = running.daemon.endpoints.grpc
    },
    sidecar: async () => {
      const partyId = Buffer.from(party.partyId).toString('hex')
      const lines = ['[[granting_daemon]]', 'name = "home"', `url = "${places.scheme}://${at.daemon}"`, `party_id = "${partyId}"`]
      if (places.authorityFile !== undefined) lines.push(`ca_file = "${places.authorityFile}"`)
      writeFileSync(configFile, lines.join('\n'))
      const args = ['--config', configFile, '--crypto-workers', '1']
      running.sidecar = await startDaemon({ dataDir: sidecarBase, keepData: true, args, through: places.through('sidecar') })
    },
  }
  const vaults = {
    daemon: [[join(pair.daemonDir, 'vault.db'), 'daemon']],
    cosigner: [[join(pair.cosignerDir, 'cosigner.db'), 'cosigner']],
    sidecar: [[join(sidecarBase, 'data', 'vault.db'), 'daemon'], [join(sidecarBase, 'data', 'cosigner.db'), 'cosigner']],
  } as const satisfies Readonly<Record<Host, readonly (readonly [string, 'daemon' | 'cosigner'])[]>>
  const verify = async (host: Host): Promise<void> => {
    for (const [path, kind] of vaults[host]) must((await verifyAuditFile(path, kind)).intact, `the chain in ${path} is broken`)
  }
  const remove = async (): Promise<void> => {
    for (const host of HOSTS) await running[host]?.kill('SIGKILL')
    await places[Symbol.asyncDispose]()
    pair.remove()
    rmSync(sidecarBase, { recursive: true, force: true })
  }
  const need = (host: 'daemon' | 'sidecar'): TestDaemon => {
    const found = running[host]
    if (found === undefined) throw new Error(`${host} is not there`)
    return found
  }
  const wayTo = (host: 'daemon' | 'sidecar') => places.callersWay(need(host).endpoints)
  const health = () => healthOf(need('daemon'), '', wayTo('daemon'))
  return { running, start, vaults, verify, remove, need, wayTo, health, network: places.network }
}
export type Hosts = Awaited<ReturnType<typeof openHosts>>

/** Somebody who delegates, and how often each wallet of theirs was delegated or tried to be: the cosigner allows so many an hour. */
export type Person = {
  readonly userId: string
  readonly accessToken: string
  readonly phone: Device
  readonly wallets: Map<string, number>
  readonly sinceMs: number
}

/** Callers of the processes as they are now. */
export const openClients = ({ need, wayTo }: Hosts) => {
  const open: CountersignClient[] = []
  const connect = (host: 'daemon' | 'sidecar', rest: Parameters<typeof createCountersignClient>[0]): CountersignClient => {
    const client = createCountersignClient({ ...wayTo(host), ...rest })
    open.push(client)
    return client
  }
  const people = new Map<string, CountersignClient>()
  const as = ({ userId, accessToken, phone }: Person): CountersignClient => {
    const found = people.get(userId) ?? connect('daemon', { endUser: { accessToken, walletSecret: phone } })
    people.set(userId, found)
    return found
  }
  return {
    admin: connect('daemon', { apiKey: need('daemon').adminKey }),
    delegate: connect('sidecar', { apiKey: need('sidecar').adminKey }),
    nobody: connect('daemon', {}),
    as,
    close: (): void => open.forEach((client) => client.close()),
  }
}
export type Clients = ReturnType<typeof openClients>

export type Delegation = {
  readonly cosignerId: string
  readonly delegateId: string
  readonly delegate: PinnedDelegate
  /** What the project's own sign-in says of a person. */
  readonly jwtOf: (userId: string) => Promise<string>
  /** Who delegates now. */
  person?: Person
  people: number
}

export const secretOf = (phone: Device): WalletSecret => ({
  publicKey: new Uint8Array(Buffer.from(phone.publicKey, 'base64')), sign: phone.sign,
})

/** Both sides know each other, and the daemon lets people in who the project sends. */
export const introduce = async ({ admin, delegate }: Clients): Promise<Delegation> => {
  const cosignerId = (await admin.admin.getStatus({})).status?.cosignerId ?? ''
  const { key } = await delegate.admin.createDelegateKey({})
  const { identityPublicKey } = await delegate.admin.listDelegateKeys({})
  const pinned = { identityPublicKey, publicKeyPem: key?.publicKeyPem ?? '' }
  const registered = await admin.delegation.registerDelegate({ name: 'bots', ...pinned, kid: key?.kid ?? '' })
  const shop = await generateKeyPair('ES256')
  const jwksJson = JSON.stringify({ keys: [{ ...(await exportJWK(shop.publicKey)), kid: 'shop', alg: 'ES256', use: 'sig' }] })
  await admin.admin.updateProject({
    project: { projectId: 'default', jwtSignIn: { issuer: ISSUER, audiences: ['wallets'], jwksJson } },
    updateMask: { paths: ['jwt_sign_in'] },
  })
  const jwtOf = (userId: string): Promise<string> =>
    new SignJWT({}).setProtectedHeader({ alg: 'ES256', kid: 'shop' }).setIssuer(ISSUER).setAudience('wallets').setSubject(userId)
      .setIssuedAt().setExpirationTime('5m').sign(shop.privateKey)
  return { cosignerId, delegateId: registered.delegate?.delegateId ?? '', delegate: pinned, jwtOf, people: 0 }
}

/** Of the 12 an hour that the cosigner allows: a try whose answer was lost may have counted as more. */
const TRIES_OF_A_WALLET = 8
/** Of the 20 that one may own: likewise. */
const WALLETS_OF_A_PERSON = 12
/** Half the life of an access token. */
const PERSON_MS = 900_000

/** Signs in, registers a device and makes the first wallet, whose owner the cosigner then knows by that device. */
const newPerson = async (clients: Clients, delegation: Delegation): Promise<Person> => {
  delegation.people += 1
  const userId = `person-${delegation.people}`
  const { signIn } = await clients.nobody.endUsers.authenticateWithJwt({ projectId: 'default', jwt: await delegation.jwtOf(userId) })
  const phone = newDevice()
  const person: Person = { userId, accessToken: signIn?.accessToken ?? '', phone, wallets: new Map(), sinceMs: Date.now() }
  const client = clients.as(person)
  await client.endUsers.registerWalletSecret({ publicKey: phone.publicKey, validUntil: timestampFromMs(Date.now() + HOUR_MS) })
  const { cosignerId } = delegation
  const walletSecret = await proveWalletSecret({ cosignerId, projectId: 'default', userId }, secretOf(phone))
  const { wallet } = await client.wallets.createWallet({ userId, ownerType: OwnerType.END_USER, keyType: 1, walletSecret })
  person.wallets.set(wallet?.walletId ?? '', 0)
  return person
}

/** A wallet that the cosigner still makes a share of, and whose it is: another one's when there is none left of this one's. */
export const walletToDelegate = async (clients: Clients, delegation: Delegation): Promise<{ person: Person; walletId: string }> => {
  const known = delegation.person
  const isGood = known !== undefined && Date.now() - known.sinceMs < PERSON_MS
  if (isGood) for (const [walletId, tries] of known.wallets) if (tries < TRIES_OF_A_WALLET) return { person: known, walletId }
  const isFull = !isGood || known.wallets.size >= WALLETS_OF_A_PERSON
  const person = isFull ? await newPerson(clients, delegation) : known
  delegation.person = person
  const [first] = person.wallets.keys()
  if (isFull && first !== undefined) return { person, walletId: first }
  const label = `w${person.wallets.size}-${Date.now()}`
  const made = await clients.as(person).wallets.createWallet({ userId: person.userId, ownerType: OwnerType.END_USER, keyType: 1, label })
  const walletId = made.wallet?.walletId ?? ''
  person.wallets.set(walletId, 0)
  return { person, walletId }
}

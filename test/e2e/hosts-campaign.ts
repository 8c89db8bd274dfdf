/**
 * A daemon, its cosigner and a delegate's sidecar as three processes, each killed with SIGKILL at random and started again,
 * while all of them create, sign, delegate, sign as delegate and revoke. After each death the chain of who died verifies;
 * after each start everything works again within a minute. At the end all chains verify, no presignature and no r stood for
 * two digests between any two of them, what was answered is in the books, and what was revoked signs nothing.
 *
 *     npm run campaign:hosts -- [--rounds 100] [--seed 1]
 */
import Database from 'better-sqlite3'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { timestampFromMs } from '@bufbuild/protobuf/wkt'
import { hashMessage, recoverAddress, type Hex } from 'viem'
import { OwnerType } from '../../gen/countersign/v1/wallet_pb.ts'
import { delegateAccess, type PinnedDelegate } from '../../src/client/delegate-access.ts'
import { proveWalletSecret, type WalletSecret } from '../../src/client/wallet-secret.ts'
import { identityPaths, readPairing } from '../../src/party/remote/identity-files.ts'
import { verifyAuditFile } from '../../src/vault/verify-audit-files.ts'
import { type CampaignOptions, must, randomOf, runFromCommandLine } from './campaign.ts'
import { connect, newWallet, outcomeOf } from './callers.ts'
import { connectAs, makePeople, newDevice } from './end-users.ts'
import { healthOf } from './health.ts'
import { makePair, startCosigner, type TestCosigner } from './start-cosigner.ts'
import { makeDataDir, startDaemon, type TestDaemon } from './start-daemon.ts'

export type HostsTotals = {
  rounds: number
  kills: Record<Host, number>
  signed: number
  delegatedSigned: number
  delegations: number
  revocations: number
  lost: number
}

const HOSTS = ['daemon', 'cosigner', 'sidecar'] as const
type Host = (typeof HOSTS)[number]
type Access = { readonly accessId: string; readonly address: string }
type Answer = { readonly address: string; readonly text: string; readonly hex: Hex; readonly sequence: bigint; readonly by: 'daemon' | 'sidecar' }

/** Everything that was answered. */
type Ledger = {
  readonly answers: Answer[]
  readonly wallets: Map<string, string>
  readonly live: Access[]
  readonly revoked: Access[]
  /** Accesses that a revocation was asked for, heard of or not. */
  readonly ending: Set<string>
  readonly refusals: Map<string, number>
}

/** What a caller may hear while somebody is dead. Nothing else. */
const PASSING =
  /^(lost: |COSIGNER_UNAVAILABLE|OUTCOME_UNKNOWN|GRANTING_DAEMON_UNAVAILABLE|PRESIGNATURES_EXHAUSTED|OVERLOADED|DEADLINE_EXCEEDED|SHUTTING_DOWN|DELEGATED_ACCESS_NOT_READY|DELEGATED_ACCESS_(NOT_FOUND|REVOKED)|REQUEST_TIMEOUT|RATE_LIMITED)/
const RACERS = 6
const RECOVERY_MS = 60_000
const ACCESSES = 3
const TRIES_OF_A_WALLET = 8

const openHosts = async () => {
  const pair = await makePair()
  const sidecarBase = makeDataDir()
  const [person] = await makePeople(pair.base, ['anna'])
  const phone = newDevice()
  const party = readPairing(identityPaths(pair.daemonDir).own)
  if (person === undefined || party === undefined) throw new Error('no person, or no pairing')
  const running: { daemon?: TestDaemon; cosigner?: TestCosigner; sidecar?: TestDaemon } = {}
  const at = { daemon: '127.0.0.1:0', cosigner: '127.0.0.1:0' }
  const configFile = join(sidecarBase, 'countersign.toml')

  const start = {
    cosigner: async () => {
      running.cosigner = await startCosigner(pair.cosignerDir, { address: at.cosigner })
      at.cosigner = running.cosigner.address
    },
    daemon: async () => {
      const args = ['--cosigner', at.cosigner, '--grpc-listen', at.daemon, '--crypto-workers', '1']
      running.daemon = await startDaemon({ dataDir: pair.base, keepData: true, args })
      at.daemon = running.daemon.endpoints.grpc
    },
    sidecar: async () => {
      const partyId = Buffer.from(party.partyId).toString('hex')
      const lines = ['[[granting_daemon]]', 'name = "home"', `url = "http://${at.daemon}"`, `party_id = "${partyId}"`]
      writeFileSync(configFile, lines.join('\n'))
      running.sidecar = await startDaemon({ dataDir: sidecarBase, keepData: true, args: ['--config', configFile, '--crypto-workers', '1'] })
    },
  }
  const vaults = {
    daemon: [[join(pair.daemonDir, 'vault.db'), 'daemon']],
    cosigner: [[join(pair.cosignerDir, 'cosigner.db'), 'cosigner']],
    sidecar: [[join(sidecarBase, 'data', 'vault.db'), 'daemon'], [join(sidecarBase, 'data', 'cosigner.db'), 'cosigner']],
  } as const satisfies Readonly<Record<Host, readonly (readonly [string, 'daemon' | 'cosigner'])[]>>
  const verify = async (host: Host): Promise<void> => {
    for (const [path, party] of vaults[host]) must((await verifyAuditFile(path, party)).intact, `the chain in ${path} is broken`)
  }
  const remove = async (): Promise<void> => {
    for (const host of HOSTS) await running[host]?.kill('SIGKILL')
    pair.remove()
    rmSync(sidecarBase, { recursive: true, force: true })
  }
  const need = (host: 'daemon' | 'sidecar'): TestDaemon => {
    const found = running[host]
    if (found === undefined) throw new Error(`${host} is not there`)
    return found
  }
  return { running, start, vaults, verify, remove, person, phone, need }
}
type Hosts = Awaited<ReturnType<typeof openHosts>>

/** Callers of the processes as they are now. */
const openClients = ({ need, person, phone }: Hosts) => {
  const [daemon, sidecar] = [need('daemon'), need('sidecar')]
  const admin = connect(daemon, daemon.adminKey)
  const delegate = connect(sidecar, sidecar.adminKey)
  const anna = connectAs(daemon, person, phone)
  const close = (): void => [admin, delegate, anna].forEach((client) => client.close())
  return { admin, delegate, anna, close }
}
type Clients = ReturnType<typeof openClients>

type Delegation = {
  readonly cosignerId: string
  readonly delegateId: string
  readonly delegate: PinnedDelegate
  /** Anna's, and how often each was delegated or tried to be: the cosigner allows so many an hour. */
  readonly wallets: Map<string, number>
}

/** Both sides know each other; anna has a wallet that she delegates. */
const introduce = async ({ phone }: Hosts, { admin, anna, delegate }: Clients): Promise<Delegation> => {
  const cosignerId = (await admin.admin.getStatus({})).status?.cosignerId ?? ''
  await anna.endUsers.registerWalletSecret({ publicKey: phone.publicKey, validUntil: timestampFromMs(Date.now() + 3_600_000) })
  const walletSecret = await proveWalletSecret({ cosignerId, projectId: 'default', userId: 'anna' }, secretOf(phone))
  const { wallet } = await anna.wallets.createWallet({ userId: 'anna', ownerType: OwnerType.END_USER, keyType: 1, walletSecret })
  const { key } = await delegate.admin.createDelegateKey({})
  const { identityPublicKey } = await delegate.admin.listDelegateKeys({})
  const pinned = { identityPublicKey, publicKeyPem: key?.publicKeyPem ?? '' }
  const registered = await admin.delegation.registerDelegate({ name: 'bots', ...pinned, kid: key?.kid ?? '' })
  const wallets = new Map([[wallet?.walletId ?? '', 0]])
  return { cosignerId, delegateId: registered.delegate?.delegateId ?? '', delegate: pinned, wallets }
}

/** One that the cosigner still makes a share of; another wallet when there is none. */
const walletToDelegate = async ({ anna }: Clients, { wallets }: Delegation): Promise<string> => {
  for (const [walletId, tries] of wallets) if (tries < TRIES_OF_A_WALLET) return walletId
  const label = `w${wallets.size}-${Date.now()}`
  const { wallet } = await anna.wallets.createWallet({ userId: 'anna', ownerType: OwnerType.END_USER, keyType: 1, label })
  wallets.set(wallet?.walletId ?? '', 0)
  return wallet?.walletId ?? ''
}

const secretOf = (phone: Hosts['phone']): WalletSecret => ({ publicKey: new Uint8Array(Buffer.from(phone.publicKey, 'base64')), sign: phone.sign })

const createWallet = async ({ admin }: Clients, { wallets }: Ledger): Promise<void> => {
  const { walletId, address } = await newWallet(admin)
  wallets.set(walletId, address)
}

const text = (value: string) => ({ case: 'text', value }) as const

const signAs = async ({ admin }: Clients, { answers, wallets }: Ledger, pick: number, said: string): Promise<void> => {
  const [walletId = '', address = ''] = [...wallets][Math.floor(pick * Math.min(wallets.size, 4))] ?? []
  const { signature, receipt } = await admin.wallets.signMessage({ wallet: walletId, content: text(said) })
  answers.push({ address, text: said, hex: signature?.hex as Hex, sequence: receipt?.sequence ?? 0n, by: 'daemon' })
}

const delegateOnce = async (clients: Clients, ledger: Ledger, delegation: Delegation, phone: Hosts['phone']): Promise<void> => {
  const { wallets, ...known } = delegation
  const wallet = await walletToDelegate(clients, delegation)
  wallets.set(wallet, (wallets.get(wallet) ?? 0) + 1)
  const consent = { walletSecret: secretOf(phone) }
  const expireTime = new Date(Date.now() + 3_600_000)
  const asked = { wallet, ...known, consent, expireTime, includeEnvelopes: true }
  const given = await delegateAccess(clients.anna, asked).catch((error: unknown) => {
    // What did not reach the daemon did not reach the cosigner.
    if (String(error).includes('ECONNREFUSED')) wallets.set(wallet, (wallets.get(wallet) ?? 1) - 1)
    throw error
  })
  const { encryptedDelegatedShare, encryptedWalletApiKey } = given
  const delivery = { encryptedDelegatedShare: encryptedDelegatedShare!, encryptedWalletApiKey: encryptedWalletApiKey! }
  const { access } = await clients.delegate.delegation.importDelegatedAccess({ content: { case: 'delivery', value: delivery } })
  ledger.live.push({ accessId: access?.accessId ?? '', address: access?.address ?? '' })
}

/** One whose revocation was asked for may be over, though nobody heard that it is. */
const noteEnd = async (ledger: Ledger, access: Access, work: Promise<void>): Promise<void> => {
  const outcome = await outcomeOf(work)
  const isOver = /^(IMPORTED_ACCESS_ENDED|GRANTING_DAEMON_REFUSED)/.test(outcome)
  if (!isOver || !ledger.ending.has(access.accessId)) return work
  const at = ledger.live.indexOf(access)
  if (at >= 0) ledger.revoked.push(...ledger.live.splice(at, 1))
}

const signDelegated = (clients: Clients, ledger: Ledger, access: Access, said: string): Promise<void> =>
  noteEnd(ledger, access, signWith(clients, ledger, access, said))

const signWith = async ({ delegate }: Clients, { answers }: Ledger, { accessId, address }: Access, said: string): Promise<void> => {
  const { signature, receipt } = await delegate.delegation.delegatedSignMessage({ access: accessId, content: text(said) })
  answers.push({ address, text: said, hex: signature?.hex as Hex, sequence: receipt?.sequence ?? 0n, by: 'sidecar' })
}

const revoke = async ({ anna }: Clients, ledger: Ledger): Promise<void> => {
  const access = ledger.live.shift()
  if (access === undefined) return
  ledger.ending.add(access.accessId)
  try {
    await anna.delegation.revokeDelegatedAccess({ delegatedAccessId: access.accessId })
  } catch (error) {
    ledger.live.push(access)
    throw error
  }
  ledger.revoked.push(access)
  // Those whose delivery was lost with somebody's death are nobody's, and count.
  const kept = new Set(ledger.live.map(({ accessId }) => accessId))
  const { accesses } = await anna.delegation.listDelegatedAccess({ openOnly: true, pageSize: 100 })
  for (const { delegatedAccessId } of accesses) {
    if (!kept.has(delegatedAccessId)) await anna.delegation.revokeDelegatedAccess({ delegatedAccessId })
  }
}

type Scene = { readonly hosts: Hosts; readonly ledger: Ledger; readonly delegation: Delegation; readonly random: () => number }

/** One caller that goes on until `isOver`, whoever dies meanwhile. */
const race = async ({ hosts, ledger, delegation, random }: Scene, clients: Clients, racer: number, isOver: () => boolean): Promise<void> => {
  for (let n = 0; !isOver(); n++) {
    const said = `${racer} ${n} ${random()}`
    const dice = random()
    const access = ledger.live[Math.floor(random() * ledger.live.length)]
    const work =
      dice < 0.03 ? createWallet(clients, ledger)
      : racer === 0 && dice < 0.1 && ledger.live.length < ACCESSES ? delegateOnce(clients, ledger, delegation, hosts.phone)
      : racer === 0 && dice < 0.14 && ledger.live.length > 1 ? revoke(clients, ledger)
      : dice < 0.4 && access !== undefined ? signDelegated(clients, ledger, access, said)
      : signAs(clients, ledger, random(), said)
    const outcome = await outcomeOf(work)
    if (outcome === 'signed') continue
    if (outcome === 'INTERNAL') await sleep(200)
    ledger.refusals.set(outcome.slice(0, 60), (ledger.refusals.get(outcome.slice(0, 60)) ?? 0) + 1)
    must(PASSING.test(outcome), `a caller heard ${outcome}`)
    await sleep(20)
  }
}

/** Everything works, by itself, before the time is over. */
const recovered = async ({ hosts, ledger, delegation }: Scene, who: string): Promise<Clients> => {
  const deadline = Date.now() + RECOVERY_MS
  const clients = openClients(hosts)
  const tryAll = async (): Promise<string> => {
    const health = await healthOf(hosts.need('daemon'))
    if (health !== 'SERVING') return health
    const steps = [
      () => (ledger.wallets.size < 2 ? createWallet(clients, ledger) : signAs(clients, ledger, 0, `after ${who} ${Math.random()}`)),
      () => (ledger.live[0] === undefined ? delegateOnce(clients, ledger, delegation, hosts.phone) : signDelegated(clients, ledger, ledger.live[0], `after ${who} ${Math.random()}`)),
    ]
    for (const step of steps) {
      const outcome = await outcomeOf(step())
      if (outcome !== 'signed') return outcome
    }
    return 'signed'
  }
  for (;;) {
    const outcome = await tryAll()
    if (outcome === 'signed') return clients
    must(PASSING.test(outcome) || /SERVING|UNKNOWN/.test(outcome), `after ${who} died a caller heard ${outcome}`)
    must(Date.now() < deadline, `after ${who} died it goes on with ${outcome}\n${hosts.need('daemon').output().slice(-2_000)}`)
    await sleep(100)
  }
}

const stillRevoked = async ({ delegate }: Clients, { revoked }: Ledger): Promise<void> => {
  for (const { accessId } of revoked.slice(-2)) {
    const outcome = await outcomeOf(delegate.delegation.delegatedSignMessage({ access: accessId, content: text('x') }))
    must(outcome !== 'signed', 'a revoked access signs')
  }
}

const readIntents = (path: string): { presig: string; digest: string; wallet: string }[] => {
  const db = new Database(path, { fileMustExist: true, readonly: true })
  try {
    const sql = 'SELECT lower(hex(presig_id)) AS presig, lower(hex(digest)) AS digest, lower(hex(wallet_id)) AS wallet FROM intents'
    return db.prepare(sql).all() as { presig: string; digest: string; wallet: string }[]
  } finally {
    db.close()
  }
}

/** Between any two who share a presignature it stands for one digest. */
const checkBooks = (hosts: Hosts, ledger: Ledger): void => {
  const digests = new Map<string, string>()
  const of = (path: string): void => {
    const seen = new Set<string>()
    for (const { presig, digest, wallet } of readIntents(path)) {
      const key = `${wallet} ${presig}`
      must(!seen.has(key), `a presignature is in two intents of ${path}`)
      must((digests.get(key) ?? digest) === digest, 'two parties signed different things with one presignature')
      seen.add(key)
      digests.set(key, digest)
    }
  }
  for (const host of HOSTS) for (const [path] of hosts.vaults[host]) of(path)
  const nonces = ledger.answers.map(({ hex }) => hex.slice(0, 66))
  must(new Set(nonces).size === nonces.length, 'an r was answered twice')
}

const checkAnswers = async ({ answers }: Ledger): Promise<void> => {
  for (const { address, text: said, hex } of answers) {
    must((await recoverAddress({ hash: hashMessage(said), signature: hex })) === address, 'an answered signature is another key’s')
  }
}

/** Runs the campaign; throws at the first thing that is wrong. */
export const runHostsCampaign = async ({ rounds, seed, say }: CampaignOptions): Promise<HostsTotals> => {
  const random = randomOf(seed)
  const ledger: Ledger = { answers: [], wallets: new Map(), live: [], revoked: [], ending: new Set(), refusals: new Map() }
  const kills: Record<Host, number> = { daemon: 0, cosigner: 0, sidecar: 0 }
  const hosts = await openHosts()
  try {
    for (const host of ['cosigner', 'daemon', 'sidecar'] as const) await hosts.start[host]()
    const first = openClients(hosts)
    // Of their own: how often they draw depends on the machine, and who dies is to follow from the seed alone.
    const scene: Scene = { hosts, ledger, random: randomOf(~seed), delegation: await introduce(hosts, first) }
    first.close()
    let clients = await recovered(scene, 'nobody')
    for (let round = 1; round <= rounds; round++) {
      let isOver = false
      const before = ledger.answers.length
      const racing = Promise.all(Array.from({ length: RACERS }, (_, racer) => race(scene, clients, racer, () => isOver)))
      racing.catch(() => undefined)
      const victim = HOSTS[Math.floor(random() * HOSTS.length)] as Host
      await sleep(Math.floor(random() ** 2 * 700))
      await hosts.running[victim]?.kill('SIGKILL')
      kills[victim] += 1
      await hosts.verify(victim)
      await sleep(Math.floor(random() ** 3 * 600))
      await hosts.start[victim]()
      isOver = true
      await racing
      clients.close()
      clients = await recovered(scene, victim)
      await stillRevoked(clients, ledger)
      say(`round ${round}: ${victim} killed, ${ledger.answers.length - before} signed, ${ledger.live.length} accesses, ${ledger.revoked.length} revoked`)
    }
    clients.close()
    for (const host of ['sidecar', 'daemon', 'cosigner'] as const) {
      await hosts.running[host]?.kill('SIGTERM')
      await hosts.verify(host)
    }
    checkBooks(hosts, ledger)
    await checkAnswers(ledger)
    const lost = [...ledger.refusals.values()].reduce((sum, count) => sum + count, 0)
    say([...ledger.refusals].map(([what, count]) => `${count} × ${what}`).join('\n'))
    const delegatedSigned = ledger.answers.filter(({ by }) => by === 'sidecar').length
    const delegations = ledger.live.length + ledger.revoked.length
    return { rounds, kills, signed: ledger.answers.length, delegatedSigned, delegations, revocations: ledger.revoked.length, lost }
  } catch (error) {
    for (const host of HOSTS) {
      const lines = hosts.running[host]?.output().split('\n').filter((line) => /"level":"(warn|error)"/.test(line)) ?? []
      say(`--- ${host}\n${lines.slice(-20).join('\n')}`)
    }
    throw error
  } finally {
    await hosts.remove()
  }
}

if (import.meta.main) await runFromCommandLine(runHostsCampaign)


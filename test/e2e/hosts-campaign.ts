/**
 * A daemon, its cosigner and a delegate's sidecar as three processes, each killed with SIGKILL at random and started again,
 * while all of them create, sign, delegate, sign as delegate and revoke. After each death the chain of who died verifies;
 * after each start everything works again by itself, in two minutes on the slowest machine. At the end all chains verify, no presignature and no r stood for
 * two digests between any two of them, what was answered is in the books of both who made it, and what was revoked signs
 * nothing.
 *
 *     npm run campaign:hosts -- [--rounds 100] [--seed 1] [--minutes 30] [--namespaces]
 *
 * `--rounds`: how often each of the three is killed; the seed decides the order. `--minutes`: it ends before, once that time
 * is over and each died as often as the others. `--namespaces`: each is a host of its own
 * (network-namespaces.ts), the daemon has a certificate, and in two of five rounds the cable between two of them is pulled
 * for seconds too; Linux, and root's right to make namespaces.
 */
import Database from 'better-sqlite3'
import { setTimeout as sleep } from 'node:timers/promises'
import { hashMessage, recoverAddress, type Hex } from 'viem'
import { delegateAccess } from '../../src/client/delegate-access.ts'
import { type CampaignOptions, must, randomOf, runFromCommandLine } from './campaign.ts'
import { newWallet, outcomeOf } from './callers.ts'
import { type Cut, planRounds, type Round } from './hosts-plan.ts'
import { type Clients, type Delegation, type Hosts, introduce, openClients, openHosts, type Person, secretOf, walletToDelegate } from './hosts-scene.ts'
import { HOSTS, type Host } from './three-hosts.ts'

export type HostsTotals = {
  kills: Record<Host, number>
  /** Pulled cables between the daemon and … */
  cuts: Record<Cut['other'], number>
  signed: number
  delegatedSigned: number
  delegations: number
  revocations: number
  people: number
  lost: number
  /** Until everything worked again, after the round in which it took longest. */
  slowestMs: number
}

type Access = { readonly accessId: string; readonly address: string; readonly person: Person }
type Answer = { readonly address: string; readonly text: string; readonly hex: Hex; readonly by: 'daemon' | 'sidecar' }

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
const RECOVERY_MS = 120_000
const ACCESSES = 3

const createWallet = async ({ admin }: Clients, { wallets }: Ledger): Promise<void> => {
  const { walletId, address } = await newWallet(admin)
  wallets.set(walletId, address)
}

const text = (value: string) => ({ case: 'text', value }) as const

const signAs = async ({ admin }: Clients, { answers, wallets }: Ledger, pick: number, said: string): Promise<void> => {
  const [walletId = '', address = ''] = [...wallets][Math.floor(pick * Math.min(wallets.size, 4))] ?? []
  const { signature } = await admin.wallets.signMessage({ wallet: walletId, content: text(said) })
  answers.push({ address, text: said, hex: signature?.hex as Hex, by: 'daemon' })
}

const delegateOnce = async (clients: Clients, ledger: Ledger, delegation: Delegation): Promise<void> => {
  const { cosignerId, delegateId, delegate } = delegation
  const { person, walletId: wallet } = await walletToDelegate(clients, delegation)
  const { wallets, phone } = person
  wallets.set(wallet, (wallets.get(wallet) ?? 0) + 1)
  const consent = { walletSecret: secretOf(phone) }
  const expireTime = new Date(Date.now() + 3_600_000)
  const asked = { wallet, cosignerId, delegateId, delegate, consent, expireTime, includeEnvelopes: true }
  const given = await delegateAccess(clients.as(person), asked).catch((error: unknown) => {
    // What did not reach the daemon did not reach the cosigner.
    if (String(error).includes('ECONNREFUSED')) wallets.set(wallet, (wallets.get(wallet) ?? 1) - 1)
    throw error
  })
  const { encryptedDelegatedShare, encryptedWalletApiKey } = given
  const delivery = { encryptedDelegatedShare: encryptedDelegatedShare!, encryptedWalletApiKey: encryptedWalletApiKey! }
  const { access } = await clients.delegate.delegation.importDelegatedAccess({ content: { case: 'delivery', value: delivery } })
  ledger.live.push({ accessId: access?.accessId ?? '', address: access?.address ?? '', person })
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
  const { signature } = await delegate.delegation.delegatedSignMessage({ access: accessId, content: text(said) })
  answers.push({ address, text: said, hex: signature?.hex as Hex, by: 'sidecar' })
}

/** By the owner; what nobody heard of, by the project. */
const revoke = async ({ admin, as }: Clients, ledger: Ledger): Promise<void> => {
  const access = ledger.live.shift()
  if (access === undefined) return
  ledger.ending.add(access.accessId)
  try {
    await as(access.person).delegation.revokeDelegatedAccess({ delegatedAccessId: access.accessId })
  } catch (error) {
    ledger.live.push(access)
    throw error
  }
  ledger.revoked.push(access)
  // Those whose delivery was lost with somebody's death are nobody's, and count.
  const kept = new Set(ledger.live.map(({ accessId }) => accessId))
  const { accesses } = await admin.delegation.listDelegatedAccess({ openOnly: true, pageSize: 100 })
  for (const { delegatedAccessId } of accesses) {
    if (!kept.has(delegatedAccessId)) await admin.delegation.revokeDelegatedAccess({ delegatedAccessId })
  }
}

type Scene = { readonly hosts: Hosts; readonly ledger: Ledger; readonly delegation: Delegation; readonly random: () => number }

/** One caller that goes on until `isOver`, whoever dies meanwhile. */
const race = async ({ ledger, delegation, random }: Scene, clients: Clients, racer: number, isOver: () => boolean): Promise<void> => {
  for (let n = 0; !isOver(); n++) {
    const said = `${racer} ${n} ${random()}`
    const dice = random()
    const access = ledger.live[Math.floor(random() * ledger.live.length)]
    const work =
      dice < 0.03 ? createWallet(clients, ledger)
      : racer === 0 && n === 0 ? (ledger.live.length < ACCESSES - 1 ? delegateOnce(clients, ledger, delegation) : revoke(clients, ledger))
      : racer === 0 && dice < 0.1 && ledger.live.length < ACCESSES ? delegateOnce(clients, ledger, delegation)
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
    const health = await hosts.health()
    if (health !== 'SERVING') return health
    const steps = [
      () => (ledger.wallets.size < 2 ? createWallet(clients, ledger) : signAs(clients, ledger, 0, `after ${who} ${Math.random()}`)),
      () => (ledger.live[0] === undefined ? delegateOnce(clients, ledger, delegation) : signDelegated(clients, ledger, ledger.live[0], `after ${who} ${Math.random()}`)),
      () => (ledger.live.length < 2 ? delegateOnce(clients, ledger, delegation) : revoke(clients, ledger)),
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

const stillRevoked = async ({ delegate }: Clients, revoked: readonly Access[]): Promise<void> => {
  for (const { accessId } of revoked) {
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

/** Between any two who share a presignature it stands for one digest; and what was answered, both have decided. */
const checkBooks = (hosts: Hosts, ledger: Ledger): void => {
  const digests = new Map<string, string>()
  const decided: Record<Host, Set<string>> = { daemon: new Set(), cosigner: new Set(), sidecar: new Set() }
  const read = (path: string, of: Set<string>): void => {
    const seen = new Set<string>()
    for (const { presig, digest, wallet } of readIntents(path)) {
      const key = `${wallet} ${presig}`
      must(!seen.has(key), `a presignature is in two intents of ${path}`)
      must((digests.get(key) ?? digest) === digest, 'two parties signed different things with one presignature')
      seen.add(key)
      digests.set(key, digest)
      of.add(digest)
    }
  }
  for (const host of HOSTS) for (const [path] of hosts.vaults[host]) read(path, decided[host])
  for (const { text: said, by } of ledger.answers) {
    const digest = hashMessage(said).slice(2)
    for (const host of [by, by === 'daemon' ? 'cosigner' : 'daemon'] as const) must(decided[host].has(digest), `${host} has no row of what was answered`)
  }
  const nonces = ledger.answers.map(({ hex }) => hex.slice(0, 66))
  must(new Set(nonces).size === nonces.length, 'an r was answered twice')
}

const checkAnswers = async ({ answers }: Ledger): Promise<void> => {
  for (const { address, text: said, hex } of answers) {
    must((await recoverAddress({ hash: hashMessage(said), signature: hex })) === address, 'an answered signature is another key’s')
  }
}

/** Pulls a cable and puts it back. */
const pull = async ({ network }: Hosts, { other, at, afterMs, forMs }: Cut): Promise<void> => {
  const [here, there] = at === 'daemon' ? ['daemon', other] : [other, 'daemon']
  await sleep(afterMs)
  network?.setCable(here, there, 'down')
  await sleep(forMs)
  network?.setCable(here, there, 'up')
}

/** While everybody calls, one dies and comes back, and what its round says of a cable happens. */
const play = async (scene: Scene, clients: Clients, { victim, afterMs, deadMs, cut }: Round): Promise<void> => {
  const { hosts } = scene
  let isOver = false
  const racing = Promise.all(Array.from({ length: RACERS }, (_, racer) => race(scene, clients, racer, () => isOver)))
  racing.catch(() => undefined)
  const pulled = cut === undefined ? undefined : pull(hosts, cut)
  pulled?.catch(() => undefined)
  await sleep(afterMs)
  await hosts.running[victim]?.kill('SIGKILL')
  await hosts.verify(victim)
  await sleep(deadMs)
  await hosts.start[victim]()
  await pulled
  isOver = true
  await racing
}

type HostsOptions = CampaignOptions & { readonly namespaces?: boolean; readonly minutes?: number }
type Played = { readonly rounds: readonly Round[]; readonly slowestMs: number }

const playAll = async (scene: Scene, rounds: readonly Round[], { say, minutes = Infinity }: HostsOptions): Promise<Played> => {
  const { hosts, ledger } = scene
  const endMs = performance.now() + minutes * 60_000
  const played: Round[] = []
  let clients = await recovered(scene, 'nobody')
  let slowestMs = 0
  for (const [at, round] of rounds.entries()) {
    if (at % HOSTS.length === 0 && performance.now() > endMs) break
    const [before, sinceMs] = [ledger.answers.length, performance.now()]
    await play(scene, clients, round)
    played.push(round)
    clients.close()
    const playedMs = performance.now() - sinceMs
    clients = await recovered(scene, round.victim)
    await stillRevoked(clients, ledger.revoked.slice(-2))
    const { victim, cut } = round
    const what = cut === undefined ? `${victim} killed` : `${victim} killed, no way between daemon and ${cut.other} for ${cut.forMs} ms`
    const tookMs = Math.round(performance.now() - sinceMs - playedMs)
    slowestMs = Math.max(slowestMs, tookMs)
    say(`round ${at + 1}: ${what}, ${ledger.answers.length - before} signed, ${ledger.live.length} accesses, ${ledger.revoked.length} revoked, well after ${tookMs} ms`)
  }
  await stillRevoked(clients, ledger.revoked)
  clients.close()
  for (const host of ['sidecar', 'daemon', 'cosigner'] as const) {
    await hosts.running[host]?.kill('SIGTERM')
    await hosts.verify(host)
  }
  return { rounds: played, slowestMs }
}

const countOf = <T extends string>(names: readonly T[], found: readonly (T | undefined)[]): Record<T, number> =>
  Object.fromEntries(names.map((name) => [name, found.filter((one) => one === name).length])) as Record<T, number>

const totalsOf = (ledger: Ledger, { people }: Delegation, rounds: readonly Round[]): Omit<HostsTotals, 'slowestMs'> => ({
  kills: countOf(HOSTS, rounds.map(({ victim }) => victim)),
  cuts: countOf(['cosigner', 'sidecar'], rounds.map(({ cut }) => cut?.other)),
  signed: ledger.answers.length,
  delegatedSigned: ledger.answers.filter(({ by }) => by === 'sidecar').length,
  delegations: ledger.live.length + ledger.revoked.length,
  revocations: ledger.revoked.length,
  people,
  lost: [...ledger.refusals.values()].reduce((sum, count) => sum + count, 0),
})

/** Runs the campaign; throws at the first thing that is wrong. */
export const runHostsCampaign = async (options: HostsOptions): Promise<HostsTotals> => {
  const { rounds: kills, seed, say, namespaces = false } = options
  const ledger: Ledger = { answers: [], wallets: new Map(), live: [], revoked: [], ending: new Set(), refusals: new Map() }
  const rounds = planRounds({ kills, seed, hasCables: namespaces })
  const hosts = await openHosts(namespaces)
  try {
    for (const host of ['cosigner', 'daemon', 'sidecar'] as const) await hosts.start[host]()
    const first = openClients(hosts)
    const delegation = await introduce(first)
    first.close()
    // The callers' is another than the plan's: how often they draw depends on the machine.
    const played = await playAll({ hosts, ledger, delegation, random: randomOf(~seed) }, rounds, options)
    checkBooks(hosts, ledger)
    await checkAnswers(ledger)
    say([...ledger.refusals].map(([what, count]) => `${count} × ${what}`).join('\n'))
    return { ...totalsOf(ledger, delegation, played.rounds), slowestMs: played.slowestMs }
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

if (import.meta.main) {
  await runFromCommandLine(
    (options, { namespaces, minutes }) =>
      runHostsCampaign({ ...options, namespaces: namespaces === true, ...(minutes === undefined ? {} : { minutes: Number(minutes) }) }),
    { namespaces: { type: 'boolean' }, minutes: { type: 'string' } },
  )
}

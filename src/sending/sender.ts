/**
 * Sends transactions. The sends of one sender on one chain take turns from the lease of a nonce until the signature is
 * durable and on its way, so no later nonce is ever out while an earlier one can still be refused; waiting for the chain is
 * nobody's turn. What is sent is then followed (follower.ts).
 */
import { hash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Call } from '../domain/call.ts'
import { assert, failure } from '../domain/failure.ts'
import { Lock } from '../party/lock.ts'
import { examine } from '../payload/examine.ts'
import { resolveWalletOfKind } from '../signing/resolve-wallet.ts'
import { bytesOpen, overFrom, countOpen, findSentByRequest, getSent, unsignedOf } from '../vault/sent-queries.ts'
import { addVersion, insertSent, newSendId, type NewVersion, type SentTransaction } from '../vault/sent-transactions.ts'
import type { Reader, Tx } from '../vault/store.ts'
import { utcDay } from '../vault/usage.ts'
import { getWallet, type Wallet } from '../vault/wallets.ts'
import type { ChainFamily, Draft, FeeLimits, Lease } from './chain-family.ts'
import { Follower } from './follower.ts'
import { resumedCall } from './own-call.ts'
import type { Send, SendRequest, Sent } from './send-request.ts'
import type { SendingNeeds } from './sending-needs.ts'
import { NOT_MINED, SentChanges } from './sent-changes.ts'
import { isOver, SentListeners } from './sent-listeners.ts'
import { VersionSigner } from './sign-version.ts'
import { readStoredCaller, storeCaller } from './stored-caller.ts'

export type ReplaceRequest = {
  readonly walletRef: string
  readonly network: string
  readonly sendId: string
  readonly kind: 'SPEED_UP' | 'CANCEL'
  readonly fees: FeeLimits | undefined
}

/** How many of one sender may be under way on a chain: nodes keep no more waiting ones of one account than a few dozen. */
const MAX_OPEN = 1_024
/** All of that is read again and again, so how much of it there is in bytes is bounded, too; small ones always fit. */
const MAX_OPEN_BYTES = 4 * 1024 * 1024
const SMALL_BYTES = MAX_OPEN_BYTES / MAX_OPEN
/** Of one send, the original included. */
const MAX_VERSIONS = 11
/** How many that were confirmed are looked up again where the chain counts fewer than they say. */
const MAX_REOPENED = 64
const STOP_WAIT_MS = 5_000
const OPERATION = 'SendTransaction'

/** What a repeat under a request id has to equal. */
const bodyHashOf = (body: unknown): Uint8Array =>
  hash('sha256', JSON.stringify(body, function text(this: unknown, key: string, value: unknown) {
    const own = (this as { readonly [name: string]: unknown })[key]
    if (own instanceof Uint8Array) return Buffer.from(own).toString('hex')
    return typeof value === 'bigint' ? `${value}n` : value
  }), 'buffer')

/** What the chain had counted for a sender when its draft was begun. */
type Counted = Draft & { readonly draftMs: number; readonly sender: string; readonly network: string }

type Asked = Pick<NewVersion, 'caller' | 'principal' | 'requestId' | 'bodyHash'>

export class Sender {
  readonly #needs: SendingNeeds
  readonly #changes: SentChanges
  readonly #listeners: SentListeners
  readonly #follower: Follower
  readonly #signer: VersionSigner
  readonly #turns = new Map<string, Lock>()
  readonly #asking = new Map<string, { readonly bodyHash: Uint8Array; readonly sent: Promise<Sent> }>()

  constructor(needs: SendingNeeds) {
    this.#needs = needs
    this.#changes = new SentChanges((tx, sent) => needs.settled[sent.purpose]?.(tx, sent))
    this.#listeners = new SentListeners(needs.vault.read)
    this.#follower = new Follower({
      needs,
      changes: this.#changes,
      listeners: this.#listeners,
      settle: (sent) => this.#inTurn(sent.chain, sent.sender, () => this.#settle(sent.chain, sent.sender)),
    })
    const letOut = (sent: SentTransaction, signal: AbortSignal): Promise<void> => this.#follower.letOut(sent, signal)
    this.#signer = new VersionSigner({ needs, changes: this.#changes, listeners: this.#listeners, letOut })
  }

  /** Goes on with what was under way when the daemon ended. */
  start(): void {
    this.#follower.start()
  }

  /** Ends the following, and waits a while for what is being signed: what is not ready by then is signed after a start. */
  async stop(): Promise<void> {
    const turns = Promise.all([...this.#turns.values()].map((turn) => turn.run(async () => {})))
    await Promise.race([Promise.all([this.#follower.stop(), turns]), sleep(STOP_WAIT_MS, undefined, { ref: false })])
  }

  statuses(sendId: string, signal: AbortSignal): AsyncIterable<SentTransaction> {
    return this.#listeners.statuses(sendId, signal)
  }

  /**
   * As `Send`. Refuses as `resolveWallet`, the family's `draft` and `sign`; LIMIT_EXCEEDED with too many under way;
   * IDEMPOTENCY_MISMATCH.
   */
  readonly send: Send = (call, request) => {
    const { walletRef, network, content, confirmations, purpose } = request
    const bodyHash = bodyHashOf({ walletRef, network, content, confirmations })
    return this.#once(purpose === 'SEND' ? call : { ...call, requestId: undefined }, bodyHash, (asked) => this.#send(call, request, asked))
  }

  /** The same nonce again, paying more: for the same content, or for nothing. Refuses as `send`, and SENT_TRANSACTION_*. */
  replace(call: Call, request: ReplaceRequest): Promise<Sent> {
    return this.#once(call, bodyHashOf(request), (asked) => this.#replace(call, request, asked))
  }

  #family(wallet: Pick<Wallet, 'keyType'>): ChainFamily {
    const family = this.#needs.families.find(({ keyType }) => keyType === wallet.keyType)
    assert(family, 'every kind of key has a family of chains')
    return family
  }

  #sent(sendId: string): Sent {
    return { sendId, statuses: (signal) => this.statuses(sendId, signal) }
  }

  /** One send for a request id, however often it is asked for. */
  async #once({ caller, requestId }: Call, bodyHash: Uint8Array, run: (asked: Asked) => Promise<string>): Promise<Sent> {
    const { principal } = caller
    const asked = { caller: storeCaller({ caller, permission: undefined }), principal, requestId, bodyHash }
    if (requestId === undefined) return this.#sent(await run(asked))
    const requireSame = (known: Uint8Array): void => {
      if (Buffer.compare(known, bodyHash) !== 0) throw failure('IDEMPOTENCY_MISMATCH', { requestId })
    }
    const name = `${principal} ${requestId}`
    const asking = this.#asking.get(name)
    if (asking !== undefined) {
      requireSame(asking.bodyHash)
      return asking.sent
    }
    const before = findSentByRequest(this.#needs.vault.read, principal, requestId, this.#needs.clock.nowMs())
    if (before !== undefined) {
      requireSame(before.bodyHash)
      return this.#sent(before.sendId)
    }
    const sent = run(asked).then((sendId) => this.#sent(sendId)).finally(() => this.#asking.delete(name))
    this.#asking.set(name, { bodyHash, sent })
    return sent
  }

  async #inTurn<T>(chain: string, sender: string, work: () => Promise<T>): Promise<T> {
    const name = `${chain} ${sender}`
    const turn = this.#turns.get(name) ?? new Lock()
    this.#turns.set(name, turn)
    try {
      return await turn.run(work)
    } finally {
      if (!turn.busy) this.#turns.delete(name)
    }
  }

  async #send(call: Call, request: SendRequest, asked: Asked): Promise<string> {
    const { vault, confirmations } = this.#needs
    const { network, content, purpose, permission } = request
    const keyType = content.kind === 'evm' ? 'secp256k1' : 'ed25519'
    const wallet = resolveWalletOfKind(vault.read, call.caller, request.walletRef, { keyType, operation: OPERATION })
    const family = this.#family(wallet)
    const draftMs = this.#nowMs()
    const draft = await family.draft(wallet, network, content, call.signal)
    const sender = senderOf(wallet)
    const sendId = newSendId()
    const write = (tx: Tx, lease: Lease): void => {
      const open = countOpen(tx, draft.chain, sender)
      if (open >= MAX_OPEN) throw failure('LIMIT_EXCEEDED', { limit: 'transactions under way', seen: String(open + 1), allowed: String(MAX_OPEN) })
      requireBytes(tx, draft.chain, sender, lease)
      const caller = storeCaller({ caller: call.caller, permission })
      insertSent(tx, {
        sendId, project: wallet.project, walletId: wallet.walletId, network, chain: draft.chain, family: family.name, sender, purpose,
        subject: request.subject ?? '', confirmations: request.confirmations ?? confirmations, nonce: lease.nonce,
        version: { ...asked, caller, kind: 'ORIGINAL', ...formOf(lease) }, nowMs: this.#nowMs(),
      })
      request.inTransaction?.(tx, sendId)
    }
    await this.#inTurn(draft.chain, sender, async () => {
      await this.#settle(draft.chain, sender)
      await this.#reopen(family, { ...draft, draftMs, sender, network }, call.signal)
      const lease = draft.lease(vault.read)
      await this.#signer.run({ call, family, wallet, sendId, version: 1, lease, permission, record: (tx) => write(tx, lease) })
    })
    this.#follower.wake(network)
    return sendId
  }

  async #replace(call: Call, { walletRef, network, sendId, kind: wanted, fees }: ReplaceRequest, asked: Asked): Promise<string> {
    const { vault } = this.#needs
    const wallet = resolveWalletOfKind(vault.read, call.caller, walletRef, { keyType: 'secp256k1', operation: OPERATION })
    const family = this.#family(wallet)
    const { chain, sender } = requireReplaceable(vault.read, wallet, network, sendId)
    await this.#inTurn(chain, sender, async () => {
      await this.#settle(chain, sender)
      const sent = requireReplaceable(vault.read, wallet, network, sendId)
      assert(family.replace, 'EVM transactions are replaced')
      // What was cancelled stays so: to speed it up is to cancel it sooner.
      const kind = sent.versions.at(-1)?.kind === 'CANCEL' ? 'CANCEL' : wanted
      const lease = (await family.replace(wallet, { kind, sent, fees }, call.signal)).lease(vault.read)
      const version = (sent.versions.at(-1)?.version ?? 0) + 1
      const record = (tx: Tx): void => {
        requireReplaceable(tx, wallet, network, sendId)
        requireBytes(tx, chain, sender, lease)
        addVersion(tx, sendId, { ...asked, kind, ...formOf(lease) }, this.#nowMs())
      }
      await this.#signer.run({ call, family, wallet, sendId, version, lease, ...this.#decidedAs(call, sent, kind, lease), record })
    })
    this.#follower.wake(network)
    return sendId
  }

  /**
   * One of the versions comes to pass, so what one was charged another is not charged again, on the same day and by the same
   * caller. To cancel reaches nobody that the original did not.
   */
  #decidedAs({ caller }: Call, sent: SentTransaction, kind: 'SPEED_UP' | 'CANCEL', lease: Lease) {
    const [original] = sent.versions
    const before = sent.versions.at(-1)
    assert(original && before, 'a send that is replaced has a version')
    const factsOf = (unsigned: Uint8Array) => examine({ kind: 'transaction', unsigned }).facts
    const earlier = factsOf(before.unsigned)
    const isSame = before.principal === caller.principal && utcDay(before.createMs) === utcDay(this.#nowMs())
    const charged = isSame ? { charged: earlier.spends } : {}
    if (kind === 'SPEED_UP') return charged
    const facts = factsOf(lease.unsigned)
    return { ...charged, facts: { ...facts, effect: 'transfer' as const, destinations: factsOf(original.unsigned).destinations.slice(0, 1) } }
  }

  /** Signs what a sender was cut off from signing, as it was. Refuses as long as that cannot be done. */
  async #settle(chain: string, sender: string): Promise<void> {
    const { vault, clock } = this.#needs
    for (const sent of unsignedOf(vault.read, chain, sender)) {
      const open = sent.versions.find(({ raw }) => raw === undefined)
      const wallet = getWallet(vault.read, sent.walletId)
      assert(open && wallet, 'a version that waits has a wallet')
      const { caller, permission } = readStoredCaller(open.caller)
      const family = this.#family(wallet)
      const { version, unsigned, anchor, lastValid } = open
      const lease = { content: family.contentOf(unsigned), unsigned, nonce: sent.nonce, anchor, lastValid }
      const call = resumedCall(caller, `countersign.v1.WalletService/${OPERATION}`, clock)
      const { sendId } = sent
      await this.#signer.run({ call, family, wallet, sendId, version, lease, permission, record: () => {} }).catch(() => undefined)
      const after = getSent(vault.read, sendId)
      if (after?.versions.some(({ raw }) => raw === undefined) === true && !isOver(after))
        throw failure('COSIGNER_UNAVAILABLE', { why: 'a transaction of this wallet waits for its signature' })
      this.#follower.wake(sent.network)
    }
  }

  /** A chain that counts fewer transactions than were confirmed has taken some back: they are followed again. */
  async #reopen(family: ChainFamily, { chain, counted, draftMs, sender, network }: Counted, signal: AbortSignal): Promise<void> {
    const { vault } = this.#needs
    // What was confirmed while this one waited for its turn was not counted yet.
    const doubted = counted === undefined ? [] : overFrom(vault.read, { chain, sender, from: counted, beforeMs: draftMs }, MAX_REOPENED)
    if (doubted.length === 0) return
    const seen = await family.observe(network, doubted.map((sent) => ({ ...sent, state: 'INCLUDED' as const })), signal)
    const gone = doubted.filter(({ sendId }) => seen.get(sendId)?.seen === 'waiting')
    if (gone.length === 0) return
    const reopen = { state: 'BROADCAST', reason: '', ...NOT_MINED } as const
    await vault.commit((tx) => gone.map((sent) => this.#changes.make(tx, sent, reopen, this.#nowMs())))
    this.#follower.wake(network)
  }

  #nowMs(): number {
    return Math.trunc(this.#needs.clock.nowMs())
  }
}

/** Nonces are counted by this. */
const senderOf = ({ keyType, address }: Wallet): string => (keyType === 'secp256k1' ? address.toLowerCase() : address)

const formOf = ({ unsigned, anchor, lastValid }: Lease) => ({ unsigned, anchor, lastValid })

const requireBytes = (reader: Reader, chain: string, sender: string, { unsigned }: Lease): void => {
  if (unsigned.length <= SMALL_BYTES) return
  const bytes = bytesOpen(reader, chain, sender) + unsigned.length
  if (bytes > MAX_OPEN_BYTES) throw failure('LIMIT_EXCEEDED', { limit: 'bytes of transactions under way', seen: String(bytes), allowed: String(MAX_OPEN_BYTES) })
}

const requireReplaceable = (reader: Reader, wallet: Wallet, network: string, sendId: string): SentTransaction => {
  const sent = getSent(reader, sendId)
  if (sent?.walletId !== wallet.walletId || sent.network !== network) throw failure('SENT_TRANSACTION_NOT_FOUND', {})
  const { state, versions } = sent
  if (state !== 'SIGNED' && state !== 'BROADCAST' && state !== 'SIGNING') throw failure('SENT_TRANSACTION_OVER', { state })
  if (versions.length >= MAX_VERSIONS) throw failure('REPLACEMENTS_EXHAUSTED', { allowed: MAX_VERSIONS - 1 })
  return sent
}

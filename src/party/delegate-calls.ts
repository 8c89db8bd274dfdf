/** What the daemon's main thread asks of both parties for delegates: a share of a wallet's key, sealed where it is made. */
import { randomBytes } from 'node:crypto'
import { failure } from '../domain/failure.ts'
import type { SealedEnvelope } from '../domain/sealed-envelope.ts'
import type { Secret } from '../domain/secret.ts'
import { makeLinkParties } from '../engine/dkls23/contexts.ts'
import { ENVELOPE_RANDOM_BYTES, envelopeText, sealDynamicEnvelope } from '../engine/sealing/dynamic-envelope.ts'
import { partyIdOf } from '../engine/sealing/import-key.ts'
import { isRecipient, KIND_RSA } from '../engine/sealing/share-envelope.ts'
import type { ForkedShare } from './fork-initiator.ts'
import type { ForkRecord } from './fork-orders.ts'
import type { ForkOrder } from './fork-desk.ts'
import { keyIdOf } from './fork-responder.ts'
import type { JoinedParties } from './open-parties.ts'
import { compressed, type ExportAsked } from './owner-calls.ts'
import { translated } from './party-failure.ts'
import type { RefreshOrders } from './refresh-orders.ts'
import type { WalletGates } from './wallet-gates.ts'

/** A delegate, as it proves itself and as it is sealed to. */
export type DelegateParty = {
  /** Ed25519, 32 bytes. */
  readonly identityKey: Uint8Array
  /** RSA, the DER of its SubjectPublicKeyInfo. */
  readonly rsaKey: Uint8Array
  readonly kid: string
}

export type DelegationAsked = Pick<ExportAsked, 'walletId' | 'keyType' | 'publicKey' | 'wEpoch' | 'expireMs' | 'nonce' | 'consent'> & {
  readonly delegate: DelegateParty
}

/** What the delegate is to be handed, and what says that it was stored. */
export type Delegated = {
  readonly envelope: SealedEnvelope
  readonly shard: number
  readonly forked: Pick<ForkedShare, 'sid' | 'receipt'>
}

/** The same bytes go to both threads. */
const CALL = { timeoutMs: 10_000, transfer: [] }
const ED25519_KEY_BYTES = 32

/** Refuses with DELEGATE_KEY_INVALID a key that nothing is sealed to, or no identity key. */
export const requireDelegateKeys = ({ identityKey, rsaKey }: Pick<DelegateParty, 'identityKey' | 'rsaKey'>): void => {
  if (identityKey.length !== ED25519_KEY_BYTES) throw failure('DELEGATE_KEY_INVALID', { why: 'an identity key has 32 bytes' })
  if (isRecipient({ kind: KIND_RSA, key: rsaKey })) return
  throw failure('DELEGATE_KEY_INVALID', { why: 'it is not an RSA key of 3072 to 4096 bits with exponent 65537' })
}

/** A text for one delegate alone. */
export const sealForDelegate = ({ rsaKey, kid }: DelegateParty, text: Secret<string>): SealedEnvelope => {
  const random = randomBytes(ENVELOPE_RANDOM_BYTES)
  const plaintext = Buffer.from(text.reveal(), 'utf8')
  try {
    return sealDynamicEnvelope({ rsaKey, kid }, random, plaintext)
  } finally {
    random.fill(0)
    plaintext.fill(0)
  }
}

export class DelegateCalls {
  readonly #joined: () => Promise<JoinedParties>
  readonly #gates: WalletGates
  readonly #orders: RefreshOrders
  readonly #ownKey: () => Uint8Array

  /** `ownKey`: this daemon's identity. */
  constructor(joined: () => Promise<JoinedParties>, gates: WalletGates, orders: RefreshOrders, ownKey: () => Uint8Array) {
    this.#joined = joined
    this.#gates = gates
    this.#orders = orders
    this.#ownKey = ownKey
  }

  /** Who the delegate is, and its link with this daemon: what the consent to a share names. Refuses its own key with DELEGATE_KEY_INVALID. */
  linkOf(identityKey: Uint8Array): { readonly idG: Uint8Array; readonly idD: Uint8Array; readonly linkId: Uint8Array } {
    const [idG, idD] = [partyIdOf(identityKey), partyIdOf(this.#ownKey())]
    if (Buffer.compare(idG, idD) === 0) throw failure('DELEGATE_KEY_INVALID', { why: 'it is the identity of this daemon' })
    return { idG, idD, linkId: makeLinkParties(idG, idD, 0).linkId }
  }

  /**
   * A share of a wallet's key for a delegate. The cosigner judges the consent by itself, first; `record` runs in the
   * transaction that takes this daemon's half in, and decides. A refresh waits until it is done. Refuses:
   * DELEGATION_REFUSED, COSIGNER_UNAVAILABLE, COSIGNER_REFUSED, LINK_BURNED, LINK_SUSPENDED, OVERLOADED, and what `record`
   * refuses. When it rejects after `record`, nobody was given the delegate's share, and the caller ends what it wrote.
   */
  async fork(asked: DelegationAsked, record: ForkRecord, signal: AbortSignal): Promise<Delegated> {
    const { walletId, keyType, wEpoch, expireMs, nonce, consent, delegate } = asked
    const { kid } = delegate
    const [identityKey, rsaKey] = [Uint8Array.from(delegate.identityKey), Uint8Array.from(delegate.rsaKey)]
    await this.#gates.pass(walletId, signal)
    const { signer, cosigner, shardOf } = await this.#joined()
    const publicKey = keyType === 'ed25519' ? asked.publicKey : compressed(asked.publicKey)
    const order: ForkOrder = { walletId, wEpoch, publicKey, identityKey, rsaKey, expireMs, nonce, consent }
    const shard = shardOf(walletId)
    const { idG, linkId } = this.linkOf(identityKey)
    const forked = await this.#gates.during(walletId, () =>
      this.#orders.forks.during(walletId, record, async () => {
        await translated(cosigner.call('permitFork', order, CALL))
        const call = { shard, order: { walletId, idG, linkId, keyId: keyIdOf(rsaKey) } }
        return translated(signer.call('fork', call, CALL))
      }),
    )
    const { sid, receipt, envelope } = forked
    return { shard, forked: { sid, receipt }, envelope: envelopeText(envelope, kid) }
  }

  /** What `fork` returned is stored: the cosigner forgets the envelope. One that does not hear it does by itself. */
  async confirm({ shard, forked }: Pick<Delegated, 'shard' | 'forked'>): Promise<void> {
    const { signer } = await this.#joined()
    await signer.call('confirmFork', { shard, forked }, CALL).catch(() => undefined)
  }
}

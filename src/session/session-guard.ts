/**
 * `require_session`: while a wallet has such a key, it signs no action of that key's profile itself. Flows that mix both
 * kinds of signature fail now and then at the venue, and one that forgets its session key goes around its limits.
 */
import { failure } from '../domain/failure.ts'
import type { SigningFacts } from '../payload/facts.ts'
import type { LoadedProfile, Profiles } from '../payload/profile/loaded-profile.ts'
import { listActiveOfWallet, type SessionKey } from '../vault/session-keys.ts'
import { OfStore } from '../vault/of-store.ts'
import type { Reader } from '../vault/store.ts'
import type { Wallet } from '../vault/wallets.ts'
import { endOf } from './key-standing.ts'
import { fromStoredTerms } from './terms.ts'

const MAX_WALLETS = 10_000

type Document = { readonly domainName: string; readonly primaryType: string; readonly family: string }

/** The documents that the profile's actions are, by the names that do not depend on an action. */
const documentsOf = ({ profile }: LoadedProfile): readonly Document[] =>
  Object.values(profile.actions).flatMap(({ flow, family }) =>
    (profile.flows[flow]?.sign ?? []).flatMap((spec) => {
      if (spec.scheme !== 'eip712' || spec.by !== 'session') return []
      const { domain, primaryType } = spec
      const name: unknown = domain !== null && typeof domain === 'object' && 'name' in domain ? domain.name : undefined
      return typeof name === 'string' ? [{ domainName: name, primaryType, family }] : []
    }),
  )

/** The family of an action whose headers are a signed text (EIP-191): such a text logs in, and nothing tells it from others. */
const familyOfTexts = ({ profile }: LoadedProfile): string | undefined =>
  Object.values(profile.actions).find(({ flow }) =>
    (profile.flows[flow]?.sign ?? []).some(({ scheme, by }) => scheme === 'eip191' && by === 'session'),
  )?.family

/** Keys that ask for it, by wallet; looked up again only after a session key was written. */
const kept = new OfStore(() => ({ writes: -1, of: new Map<string, readonly SessionKey[]>() }))

const askingKeys = (reader: Reader, { walletId }: Wallet, nowMs: number): readonly SessionKey[] => {
  const known = kept.of(reader)
  const writes = reader.writesTo('session_keys')
  if (known.writes !== writes || known.of.size >= MAX_WALLETS) {
    known.of.clear()
    known.writes = writes
  }
  const before = known.of.get(walletId)
  if (before !== undefined) return before
  const keys = listActiveOfWallet(reader, walletId, nowMs).filter(({ terms }) => fromStoredTerms(terms).requireSession)
  known.of.set(walletId, keys)
  return keys
}

/**
 * Answers what throws SESSION_REQUIRED for a wallet's signature of an action that its session key is there for; a digest
 * may be any action, so it is refused as well, and a message where actions are sent under signed texts.
 */
export const sessionGuard =
  (profiles: () => Profiles, nowMs: () => number) =>
  (reader: Reader, wallet: Wallet, facts: SigningFacts): void => {
    if (wallet.keyType !== 'secp256k1') return
    const atMs = nowMs()
    for (const key of askingKeys(reader, wallet, atMs)) {
      if (atMs > endOf(key)) continue
      const { sessionKeyId } = key
      if (facts.operation === 'digest') throw failure('SESSION_REQUIRED', { sessionKeyId, family: 'digest' })
      const { typedData, operation } = facts
      if (typedData === undefined && operation !== 'message') continue
      const loaded = profiles().get(key.profile)
      const texts = operation === 'message' ? familyOfTexts(loaded) : undefined
      if (texts !== undefined) throw failure('SESSION_REQUIRED', { sessionKeyId, family: texts })
      if (typedData === undefined) continue
      const isSame = ({ domainName, primaryType }: Document): boolean =>
        domainName === typedData.domainName && primaryType === typedData.primaryType
      const found = documentsOf(loaded).find(isSame)
      if (found !== undefined) throw failure('SESSION_REQUIRED', { sessionKeyId, family: found.family })
    }
  }

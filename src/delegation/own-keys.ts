/** RSA keys that others seal delegated access to, as operators keep them at a delegate: made, taken in, replaced, ended. */
import { createPrivateKey, createPublicKey, generateKeyPair, type KeyObject } from 'node:crypto'
import { promisify } from 'node:util'
import type { Call } from '../domain/call.ts'
import type { Clock } from '../domain/clock.ts'
import { failure } from '../domain/failure.ts'
import { partyIdOf } from '../party/party-id.ts'
import { appendAudit, findAuditOfRequest } from '../vault/audit-chain.ts'
import type { DaemonVault } from '../vault/daemon-vault.ts'
import {
  deleteOwnDelegateKey,
  insertOwnDelegateKey,
  kidOf,
  listOwnDelegateKeys,
  type OwnDelegateKey,
  retireOwnDelegateKey,
} from '../vault/own-delegate-keys.ts'
import type { Tx } from '../vault/store.ts'

export type OwnKeyNeeds = { readonly vault: DaemonVault; readonly clock: Clock }

export type NewOwnKey = {
  /** PEM; undefined: one is made. */
  readonly privateKeyPem: string | undefined
  readonly kid: string | undefined
  readonly retireOthers: boolean
}

/** What the curve of the wallets is worth, at a third of the time that 4096 bits take. */
const BITS = 3_072
const ALLOWED_BITS: ReadonlySet<number> = new Set([3_072, 4_096])
const EXPONENT = 65_537n
const generate = promisify(generateKeyPair)

const invalid = (why: string) => failure('DELEGATE_PRIVATE_KEY_INVALID', { why })

const readPem = (pem: string): KeyObject => {
  let key: KeyObject
  try {
    key = createPrivateKey({ key: pem, format: 'pem' })
  } catch {
    throw invalid('it is no private key in PEM, or an encrypted one')
  }
  const { modulusLength = 0, publicExponent } = key.asymmetricKeyDetails ?? {}
  if (key.asymmetricKeyType !== 'rsa') throw invalid('it is no RSA key')
  if (!ALLOWED_BITS.has(modulusLength)) throw invalid(`it has ${modulusLength} bits, and is to have 3072 or 4096`)
  if (publicExponent !== EXPONENT) throw invalid('its exponent is not 65537')
  return key
}

/**
 * Makes a key or takes one in; the others are retired when that is asked for. Refuses: DELEGATE_PRIVATE_KEY_INVALID, also for a kid
 * that is another key's; LIMIT_EXCEEDED.
 */
export const createOwnKey = async ({ vault, clock }: OwnKeyNeeds, call: Call, args: NewOwnKey): Promise<OwnDelegateKey> => {
  const { privateKeyPem, retireOthers } = args
  const made = call.isRepeat ? madeBefore(vault.read, call) : undefined
  if (made !== undefined) return made
  const key = privateKeyPem === undefined ? (await generate('rsa', { modulusLength: BITS })).privateKey : readPem(privateKeyPem)
  const publicKey = createPublicKey(key).export({ type: 'spki', format: 'der' })
  const kid = args.kid ?? kidOf(publicKey)
  const pkcs8 = key.export({ type: 'pkcs8', format: 'der' })
  try {
    return await vault.commit((tx) => {
      const nowMs = Math.trunc(clock.nowMs())
      const kept = insertOwnDelegateKey(tx, vault.secrets, { publicKey, pkcs8, kid, nowMs })
      if (!publicKey.equals(kept.publicKey)) throw invalid(`another key has the kid ${kid}`)
      record(tx, call, 'delegate_key.created', kept, nowMs)
      if (retireOthers) retireAllBut(tx, call, kid, nowMs)
      return kept
    })
  } finally {
    pkcs8.fill(0)
  }
}

const retireAllBut = (tx: Tx, call: Call, kid: string, nowMs: number): void => {
  for (const other of listOwnDelegateKeys(tx)) {
    if (other.kid === kid || other.state === 'RETIRED') continue
    record(tx, call, 'delegate_key.retired', retireOwnDelegateKey(tx, other.kid, nowMs), nowMs)
  }
}

const madeBefore = (reader: DaemonVault['read'], { requestId, caller }: Call): OwnDelegateKey | undefined => {
  if (requestId === undefined) return undefined
  return listOwnDelegateKeys(reader).find(({ kid: subjectId }) =>
    findAuditOfRequest(reader, { subjectId, kind: 'delegate_key.created', actorId: caller.principal, requestId }),
  )
}

export type OwnKeys = {
  readonly keys: readonly OwnDelegateKey[]
  readonly identityPublicKey: Uint8Array
  readonly partyId: Uint8Array
}

export const listOwnKeys = ({ vault }: OwnKeyNeeds): OwnKeys => ({
  keys: listOwnDelegateKeys(vault.read),
  identityPublicKey: vault.signer.publicKey,
  partyId: partyIdOf(vault.signer.publicKey),
})

/** Refuses: DELEGATE_KEY_NOT_FOUND. */
export const deleteOwnKey = async ({ vault, clock }: OwnKeyNeeds, call: Call, kid: string): Promise<void> => {
  await vault.commit((tx) => {
    const nowMs = Math.trunc(clock.nowMs())
    record(tx, call, 'delegate_key.deleted', deleteOwnDelegateKey(tx, vault.secrets, kid), nowMs)
  })
  vault.eraseDeleted()
}

const record = (tx: Tx, { caller, method, requestId }: Call, kind: string, { kid, bits }: OwnDelegateKey, timeMs: number): void => {
  appendAudit(tx, {
    timeMs,
    kind,
    actor: { kind: 'operator', id: caller.principal },
    subject: { type: 'delegate_key', id: kid },
    method: method.split('/').at(-1),
    requestId,
    decision: 'allow',
    details: { bits },
  })
}

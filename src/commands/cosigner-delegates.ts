/**
 * `countersign cosigner delegate …`: which delegates the cosigner's operator knows, and for which wallets one of them may
 * be given a share. It works on the cosigner's vault of a stopped daemon or cosigner, as cosigner-owners.ts.
 */
import type { Flags } from '../config/load-config.ts'
import { digestOfDelegate } from '../engine/sealing/owner-consent.ts'
import { isRecipient, KIND_RSA } from '../engine/sealing/share-envelope.ts'
import { partyIdOf } from '../party/party-id.ts'
import { appendAudit, type AuditEvent } from '../vault/audit-chain.ts'
import {
  deleteKnownDelegate,
  getKnownDelegate,
  type KnownDelegate,
  listKnownDelegates,
  putKnownDelegate,
} from '../vault/known-delegates.ts'
import type { Reader, Tx } from '../vault/store.ts'
import { approveAtCosigner, atCosigner, derOf } from './cosigner-owners.ts'
import { formatTable } from './print-table.ts'
import { CommandRefusal, type Terminal, UsageRefusal } from './terminal.ts'

const OPERATOR = { kind: 'operator', id: '' } as const
const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

const identityOf = (hex: string): Uint8Array => {
  if (/^[0-9a-f]{64}$/.test(hex)) return Uint8Array.from(Buffer.from(hex, 'hex'))
  throw new UsageRefusal('--identity-key takes the Ed25519 key of the delegate: 64 hex digits')
}

export type AddOptions = { readonly name: string; readonly identityKey: string; readonly rsaKeyFile: string }

/** Registers a delegate, or gives a registered one another key: approvals of the key before count no more. */
export const addDelegate = (options: AddOptions, flags: Flags, terminal: Terminal): Promise<void> => {
  const identityKey = identityOf(options.identityKey)
  const rsaKey = derOf(options.rsaKeyFile)
  if (!isRecipient({ kind: KIND_RSA, key: rsaKey })) throw new UsageRefusal('the key is not an RSA key of 3072 to 4096 bits')
  if (!/^[^\p{Cc}]{1,128}$/u.test(options.name)) throw new UsageRefusal('--name takes 1 to 128 characters')
  const partyId = partyIdOf(identityKey)
  return atCosigner(flags, terminal, async (vault) => {
    const createMs = Date.now()
    await vault.commit((tx) => {
      putKnownDelegate(tx, { partyId, identityKey, name: options.name, rsaKey, createMs })
      record(tx, 'delegate.registered', { partyId, rsaKey }, createMs)
    })
    terminal.print(hexOf(partyId))
  })
}

export type DelegateOptions = { readonly delegate: string }

const delegateOf = (reader: Reader, { delegate }: DelegateOptions): KnownDelegate => {
  const isId = /^[0-9a-f]{64}$/.test(delegate)
  const named = isId ? [] : listKnownDelegates(reader).filter(({ name }) => name === delegate)
  // One that came again under another identity is not the one before.
  if (named.length > 1) throw new CommandRefusal(`${named.length} delegates are called ${delegate}: name one by its party id`)
  const known = isId ? getKnownDelegate(reader, Buffer.from(delegate, 'hex')) : named[0]
  if (known === undefined) throw new CommandRefusal(`no delegate ${delegate} is registered at the cosigner`)
  return known
}

export const removeDelegate = (options: DelegateOptions, flags: Flags, terminal: Terminal): Promise<void> =>
  atCosigner(flags, terminal, async (vault) => {
    const known = delegateOf(vault.read, options)
    await vault.commit((tx) => {
      deleteKnownDelegate(tx, known.partyId, Date.now())
      record(tx, 'delegate.removed', known, Date.now())
    })
    terminal.print('removed')
    terminal.note('what it was given goes on: revoke it at the daemon')
  })

export const listDelegates = (flags: Flags, terminal: Terminal): Promise<void> =>
  atCosigner(flags, terminal, async (vault) => {
    const rows = listKnownDelegates(vault.read).map((known) => [
      known.name,
      hexOf(known.partyId),
      hexOf(known.identityKey),
      hexOf(digestOfDelegate({ rsaKey: known.rsaKey, idG: known.partyId })),
      new Date(known.createMs).toISOString(),
    ])
    if (rows.length === 0) return terminal.print('the cosigner knows no delegate')
    terminal.print(formatTable(['NAME', 'PARTY ID', 'IDENTITY KEY', 'KEYS', 'REGISTERED'], rows))
  })

export type ApproveOptions = DelegateOptions & { readonly wallet: string; readonly validMinutes: number }

/** One share of one wallet for one delegate. */
export const approveDelegate = (options: ApproveOptions, flags: Flags, terminal: Terminal): Promise<void> =>
  approveAtCosigner(options, flags, terminal, (vault) => {
    const { partyId, rsaKey } = delegateOf(vault.read, options)
    const keyDigest = digestOfDelegate({ rsaKey, idG: partyId })
    return { keyDigest, kind: 'wallet.delegation_approved', details: { delegate: hexOf(partyId) }, thenDo: 'delegate' }
  })

const record = (tx: Tx, kind: string, delegate: Pick<KnownDelegate, 'partyId' | 'rsaKey'>, timeMs: number): void => {
  const { partyId, rsaKey } = delegate
  const event: AuditEvent = {
    timeMs,
    kind,
    actor: OPERATOR,
    subject: { type: 'delegate', id: hexOf(partyId) },
    decision: 'allow',
    details: { key: hexOf(digestOfDelegate({ rsaKey, idG: partyId })) },
  }
  appendAudit(tx, event)
}

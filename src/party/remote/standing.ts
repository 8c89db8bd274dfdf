/**
 * Where a party stands, as its operator hands it to the peer's after a restore: `csrest1.` and base64url of role u8 · audit
 * key 32 · restore id 16 · sequence u64 · hash 32 · link epoch u32 · signature 64. It holds no secret.
 */
import { type PartyStanding, verifyStanding } from '../../vault/audit-signer.ts'
import { auditHead } from '../../vault/audit-chain.ts'
import { getRestoreState } from '../../vault/restore-state.ts'
import type { Vault } from '../../vault/vault.ts'
import { partyIdOf } from '../party-id.ts'
import { highestLinkEpoch } from '../settle-restored.ts'
import type { PartyRole } from './pairing.ts'

const HEAD = 'csrest1.'
const ROLES: Readonly<Record<PartyRole, number>> = { daemon: 0x43, cosigner: 0x53 }
const LENGTH = 1 + 32 + 16 + 8 + 32 + 4 + 64
const NEVER = new Uint8Array(16)

export type Standing = PartyStanding & { readonly role: PartyRole; readonly partyId: Uint8Array; readonly isRestored: boolean }

/** Of an open vault, as it is now. */
export const standingText = (vault: Vault, role: PartyRole): string => {
  const restored = getRestoreState(vault.read)
  const restoreId = restored === undefined ? NEVER : Uint8Array.from(Buffer.from(restored.restoreIdHex, 'hex'))
  const head = auditHead(vault.read)
  const lEpoch = highestLinkEpoch(vault.read)
  const signature = vault.signer.signStanding({ role, restoreId, head, lEpoch })
  const numbers = Buffer.alloc(12)
  numbers.writeBigUInt64LE(head.sequence, 0)
  numbers.writeUInt32LE(lEpoch, 8)
  const [sequence, epoch] = [numbers.subarray(0, 8), numbers.subarray(8)]
  const parts = [Uint8Array.of(ROLES[role]), vault.signer.publicKey, restoreId, sequence, head.hash, epoch, signature]
  return `${HEAD}${Buffer.concat(parts).toString('base64url')}`
}

/** Undefined for whatever is no such text, or is not signed by the party it names. */
export const parseStanding = (text: string): Standing | undefined => {
  const encoded = text.trim()
  if (!encoded.startsWith(HEAD)) return undefined
  const bytes = Buffer.from(encoded.slice(HEAD.length), 'base64url')
  if (bytes.length !== LENGTH || bytes.toString('base64url') !== encoded.slice(HEAD.length)) return undefined
  const role = bytes[0] === ROLES.daemon ? 'daemon' : bytes[0] === ROLES.cosigner ? 'cosigner' : undefined
  if (role === undefined) return undefined
  const part = (from: number, length: number): Uint8Array => Uint8Array.from(bytes.subarray(from, from + length))
  const auditKey = part(1, 32)
  const restoreId = part(33, 16)
  const head = { sequence: bytes.readBigUInt64LE(49), hash: part(57, 32) }
  const standing = { role, restoreId, head, lEpoch: bytes.readUInt32LE(89) } as const
  if (!verifyStanding(auditKey, standing, part(93, 64))) return undefined
  return { ...standing, partyId: partyIdOf(auditKey), isRestored: !Buffer.from(restoreId).equals(NEVER) }
}

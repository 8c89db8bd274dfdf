/** The running hash over all messages of one operation, own ones included (docs/protocol.md §3). */
import { u8 } from '../hash/encoding.ts'
import { taggedHash } from '../hash/tagged-hash.ts'
import type { Role } from './suite.ts'

/** The transcript before the first message. */
export function emptyTranscript(): Uint8Array {
  return new Uint8Array(32)
}

/**
 * tr ← TH("tr"; tr, u8 senderRole, u8 type, body). `body` is without the header and without a conf: the caller
 * cuts the trailing 32 bytes (in L5 the leading 32) off.
 */
export function extendTranscript(tr: Uint8Array, sender: Role, type: number, body: Uint8Array): Uint8Array {
  return taggedHash('tr', tr, u8(sender), u8(type), body)
}

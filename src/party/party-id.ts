import { createHash } from 'node:crypto'

/** A party's id on a link: the hash of its long-term identity key, the Ed25519 key that signs its audit chain. */
export const partyIdOf = (publicKey: Uint8Array): Uint8Array =>
  new Uint8Array(createHash('sha256').update('countersign/party-id/v1').update(publicKey).digest())

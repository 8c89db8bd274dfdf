/** What party C of the peer tool is asked to do, one word an operation. */
import { ProtocolFault } from '../engine/dkls23/fault.ts'
import { parsePath } from '../engine/dkls23/derive.ts'
import { MAX_DKG_WALLETS, MAX_REFRESH_WALLETS, MAX_SLOTS } from '../engine/dkls23/suite.ts'
import { UsageRefusal } from './terminal.ts'

/** `slot` counts the wallets in the order in which the run made them. */
export type PeerOperation =
  | { readonly op: 'link' }
  | { readonly op: 'dkg'; readonly count: number }
  | { readonly op: 'presign'; readonly slots: readonly number[] }
  | { readonly op: 'refresh'; readonly slots: readonly number[] }
  | { readonly op: 'sign'; readonly slot: number; readonly path: readonly number[]; readonly payload: Uint8Array }

const refuse = (word: string, expected: string): never => {
  throw new UsageRefusal(`${word}: expected ${expected}`)
}

const parseCount = (word: string, text: string | undefined, max: number): number => {
  const count = /^(0|[1-9][0-9]{0,5})$/.test(text ?? '') ? Number(text) : Number.NaN
  return count <= max ? count : refuse(word, `a number up to ${max}`)
}

const parseSlots = (word: string, text: string | undefined, max: number): readonly number[] => {
  const slots = (text ?? '').split(',').map((slot) => parseCount(word, slot, 0xffff))
  return slots.length <= max ? slots : refuse(word, `1 to ${max} slots`)
}

const parsePeerPath = (word: string, text: string | undefined): readonly number[] => {
  try {
    return parsePath(text ?? '')
  } catch (error) {
    if (!(error instanceof ProtocolFault)) throw error
    return refuse(word, 'a path: m, m/1, m/1/2 …')
  }
}

const parseHex = (word: string, text: string | undefined): Uint8Array =>
  text !== undefined && /^([0-9a-f]{2})*$/i.test(text)
    ? new Uint8Array(Buffer.from(text, 'hex'))
    : refuse(word, 'a payload in hex')

/** @throws UsageRefusal for a word that is none. */
export const parsePeerOperation = (word: string): PeerOperation => {
  const [op, ...rest] = word.split(':')
  if (op === 'link' && rest.length === 0) return { op }
  if (op === 'dkg' && rest.length === 1) {
    const count = parseCount(word, rest[0], MAX_DKG_WALLETS)
    return count > 0 ? { op, count } : refuse(word, `1 to ${MAX_DKG_WALLETS} wallets`)
  }
  if (op === 'presign' && rest.length === 1) return { op, slots: parseSlots(word, rest[0], MAX_SLOTS) }
  if (op === 'refresh' && rest.length === 1) {
    const slots = parseSlots(word, rest[0], MAX_REFRESH_WALLETS)
    return new Set(slots).size === slots.length ? { op, slots } : refuse(word, 'each slot once')
  }
  if (op === 'sign' && rest.length === 3) {
    const [slot, path, payload] = rest
    return {
      op,
      slot: parseCount(word, slot, 0xffff),
      path: parsePeerPath(word, path),
      payload: parseHex(word, payload),
    }
  }
  return refuse(word, 'link, dkg:<n>, presign:<slot,…>, refresh:<slot,…> or sign:<slot>:<path>:<payload hex>')
}

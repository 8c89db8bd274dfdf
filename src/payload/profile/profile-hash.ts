import { hash } from 'node:crypto'
import type { Profile } from './profile.ts'

/** One text for one profile: members sorted by code units, no white space (RFC 8785 for the values profiles have). */
const canonicalText = (value: unknown): string => {
  if (Array.isArray(value)) return `[${value.map(canonicalText).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const members = Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${canonicalText(member)}`).join(',')}}`
}

/**
 * SHA-256 of the profile's canonical text, 0x hex: what a session key and an audit row name it by. The self-test is left
 * out: one more known answer changes nothing of what is signed.
 */
export const hashProfile = ({ selfTest: _, ...signed }: Profile): string =>
  `0x${hash('sha256', canonicalText(signed), 'hex')}`

import { hash } from 'node:crypto'

/** One text for one profile: members sorted by code units, no white space (RFC 8785 for the values profiles have). */
const canonicalText = (value: unknown): string => {
  if (Array.isArray(value)) return `[${value.map(canonicalText).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const members = Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${canonicalText(member)}`).join(',')}}`
}

/** SHA-256 of the profile's canonical text, self-test included: what an approval or an audit row names it by. */
export const hashProfile = (profile: unknown): string => `0x${hash('sha256', canonicalText(profile), 'hex')}`

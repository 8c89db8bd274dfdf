import { isIP } from 'node:net'

/** 4 or 16 bytes. An IPv4 address inside IPv6 (`::ffff:10.0.0.1`) is the IPv4 address. */
export type IpAddress = Uint8Array

const MAPPED = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]

const parseIpv4 = (text: string): Uint8Array => Uint8Array.from(text.split('.'), Number)

const parseIpv6 = (text: string): Uint8Array => {
  const dotted = /^(?<head>.*:)(?<quad>\d+\.\d+\.\d+\.\d+)$/.exec(text)?.groups
  const quad = dotted === undefined ? [] : [...parseIpv4(dotted['quad'] ?? '')]
  // `::` ends a half of its own; a single colon before the quad does not.
  const hex = dotted === undefined ? text : (dotted['head'] ?? '').replace(/([^:]):$/, '$1')
  const [left = '', right] = hex.split('::')
  const groups = (half: string): number[] =>
    half === '' ? [] : half.split(':').flatMap((group) => [Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 255])
  const before = groups(left)
  const after = [...groups(right ?? ''), ...quad]
  const gap = right === undefined ? [] : Array.from({ length: 16 - before.length - after.length }, () => 0)
  return Uint8Array.from([...before, ...gap, ...after])
}

/** What is behind the IPv6 prefix that only says "this is IPv4". */
export const unmapped = (bytes: Uint8Array): IpAddress =>
  bytes.length === 16 && MAPPED.every((byte, index) => bytes[index] === byte) ? bytes.subarray(12) : bytes

/**
 * An address as `net.isIP` knows it. Refused, as undefined: names, scoped addresses (`fe80::1%eth0`), and the decimal,
 * octal, hexadecimal and shortened forms of IPv4 that some resolvers read as addresses.
 */
export const parseIp = (text: string): IpAddress | undefined => {
  const family = text.includes('%') ? 0 : isIP(text)
  if (family === 0) return undefined
  return family === 4 ? parseIpv4(text) : unmapped(parseIpv6(text))
}

/** A network: the first `prefix` bits of `address`. */
export type Network = { readonly address: IpAddress; readonly prefix: number }

/** `10.0.0.0/8`, `2001:db8::/32`, or one address. Undefined for anything else, and for bits set behind the prefix. */
export const parseNetwork = (text: string): Network | undefined => {
  const [host = '', bits, ...rest] = text.split('/')
  const address = parseIp(host)
  if (address === undefined || rest.length > 0) return undefined
  const width = address.length * 8
  if (bits === undefined) return { address, prefix: width }
  // A prefix over the mapped form would count other bits.
  if (!/^(?:0|[1-9]\d{0,2})$/.test(bits) || Number(bits) > width || (host.includes(':') && width === 32)) return undefined
  const network = { address, prefix: Number(bits) }
  const isClean = address.every((byte, index) => (byte & ~maskOf(network.prefix, index) & 255) === 0)
  return isClean ? network : undefined
}

const maskOf = (prefix: number, index: number): number => {
  const bits = Math.min(8, Math.max(0, prefix - index * 8))
  return (0xff << (8 - bits)) & 0xff
}

export const isWithin = ({ address, prefix }: Network, candidate: IpAddress): boolean =>
  candidate.length === address.length &&
  candidate.every((byte, index) => ((byte ^ (address[index] ?? 0)) & maskOf(prefix, index)) === 0)

const HOST_NAME = /^(?=.{1,253}$)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?$/

/** A name in lower case, without the dot that may end it. No address in any form is one: the last label has a letter first. */
export const isHostName = (text: string): boolean => HOST_NAME.test(text)

/** Whom to count one caller's requests under: of IPv6 the network that one customer is usually given. */
export const networkOf = (address: string | undefined): string => {
  const ip = address === undefined ? undefined : parseIp(address.split('%', 1)[0] ?? '')
  if (ip === undefined) return 'local'
  return ip.length === 4 ? ip.join('.') : `${Buffer.from(ip.subarray(0, 8)).toString('hex')}/64`
}

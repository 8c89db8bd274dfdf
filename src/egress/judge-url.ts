/** What can be said of a URL before anything is sent there: early word for those who configure one. */
import { type AddressKind, kindOfAddress, parseAllowList, plainHost } from './address-guard.ts'
import { EgressError } from './egress-error.ts'
import { readTarget } from './http.ts'
import { isWithin, parseIp } from '../domain/network-address.ts'

/** Why a URL is none to send to; undefined when nothing speaks against it yet. */
export type JudgeUrl = (url: string) => string | undefined

const HTTPS_PORT = 443
const LOCAL_NAME = /^(?:localhost|.*\.(?:localhost|local|internal|home\.arpa))$/

/**
 * Judges scheme, port, and hosts that are addresses or names of this machine and its network. Where a name leads is
 * judged at every attempt. Throws on an allow list that does not parse.
 */
export const createUrlJudge = (allow: readonly string[]): JudgeUrl => {
  const allowed = parseAllowList(allow)
  return (text) => {
    try {
      const { url, host, port, isEncrypted } = readTarget(text)
      if (url.hash !== '') return new EgressError('url_refused').message
      const address = parseIp(host)
      if (allowed.hosts.has(plainHost(host))) return undefined
      if (address !== undefined && allowed.networks.some((network) => isWithin(network, address))) return undefined
      const kind: AddressKind = address === undefined ? 'public' : kindOfAddress(address)
      if (kind !== 'public') return new EgressError('address_refused').message
      // A name may lead into a listed network.
      if (address === undefined && allowed.networks.length > 0) return undefined
      if (address === undefined && LOCAL_NAME.test(plainHost(host))) return new EgressError('address_refused').message
      if (!isEncrypted) return new EgressError('plaintext_refused').message
      return port === HTTPS_PORT ? undefined : new EgressError('port_refused').message
    } catch (error) {
      if (error instanceof EgressError) return error.message
      throw error
    }
  }
}

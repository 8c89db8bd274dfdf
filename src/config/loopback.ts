import { isIP } from 'node:net'

/**
 * Whether only this machine can reach `host`. A name other than localhost could point anywhere and does not
 * count.
 */
export const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))

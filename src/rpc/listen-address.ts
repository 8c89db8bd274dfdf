import { BlockList, isIP } from 'node:net'
import { failure } from '../domain/failure.ts'

export type ListenAddress = {
  readonly host: string
  /** 0 asks the system for a free port. */
  readonly port: number
}

export const formatAddress = ({ host, port }: ListenAddress): string =>
  isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`

const LOOPBACK = new BlockList()
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4')
LOOPBACK.addAddress('::1', 'ipv6')

const isLoopback = (host: string): boolean => {
  const version = isIP(host)
  return version === 0 ? host === 'localhost' : LOOPBACK.check(host, version === 6 ? 'ipv6' : 'ipv4')
}

/** API keys travel in the clear on a plaintext listener, so beyond this machine one must be asked for by name. */
export const refusePlaintextBeyondLoopback = (
  address: ListenAddress,
  settings: { readonly isEncrypted: boolean; readonly isAllowed: boolean },
): void => {
  if (settings.isEncrypted || settings.isAllowed || isLoopback(address.host)) return
  const why = 'plaintext beyond loopback needs allow_plaintext_beyond_loopback, or a certificate'
  throw failure('LISTEN_FAILED', { address: formatAddress(address), why })
}

const WHY: { readonly [code: string]: string } = {
  EADDRINUSE: 'something else is listening there',
  EADDRNOTAVAIL: 'this machine does not have that address',
  EACCES: 'not permitted',
  ENOENT: 'the directory does not exist',
  ENOTDIR: 'a part of the path is not a directory',
  EROFS: 'the file system is read-only',
  ENOTFOUND: 'the host name is not known',
}

/** `error`: of a `listen`, with a code, or one of grpc-js that only has the code of the cause inside its text. */
export const listenFailed = (address: string, error: unknown) => {
  const { code, message } = error as { readonly code?: unknown; readonly message?: unknown }
  const found = typeof code === 'string' ? code : /\bE[A-Z]{3,}\b/.exec(String(message))?.[0]
  return failure('LISTEN_FAILED', { address, why: (found && WHY[found]) ?? found ?? 'the system refused' })
}

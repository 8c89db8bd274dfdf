import { createContextKey } from '@connectrpc/connect'
import type { ApiKeyId } from '../domain/ids.ts'

/** Where a call came from, as the listener knows it and no client can say. */
export type Peer = {
  readonly transport: 'tcp' | 'unix'
  /** The remote IP address; absent for unix sockets. */
  readonly address: string | undefined
  /**
   * The API key every caller of this listener or holder of this certificate is; absent when callers show their
   * own.
   */
  readonly boundApiKeyId: ApiKeyId | undefined
  /** The listener takes its callers' identity from their certificates alone. */
  readonly needsCertificateIdentity: boolean
}

const UNKNOWN_PEER: Peer = {
  transport: 'tcp',
  address: undefined,
  boundApiKeyId: undefined,
  needsCertificateIdentity: false,
}

export const peerKey = createContextKey<Peer>(UNKNOWN_PEER, { description: 'where the call came from' })

/** A client certificate's identity (`spiffe://…` or `CN=…`) → the API key it stands for. */
export type CertificateIdentities = ReadonlyMap<string, ApiKeyId>

type Certificate = { readonly subject?: { readonly CN?: unknown }; readonly subjectaltname?: string | undefined }

const SPIFFE_ID = /^spiffe:\/\/[a-z0-9._-]{1,255}(?:\/[A-Za-z0-9._-]+)*$/

/**
 * The names a verified client certificate gives its holder: its SPIFFE id if it has exactly one URI name and that
 * is one (X509-SVID §2), otherwise `CN=` and its common name, so that no common name reads as a SPIFFE id. A
 * certificate with other URI names or more than one has no name at all.
 */
export const certificateIdentity = (certificate: Certificate): string | undefined => {
  const names = certificate.subjectaltname ?? ''
  // Node quotes a name that holds anything unusual, so one that could be taken for two never looks like this.
  const uris = names.split(', ').flatMap((name) => (name.startsWith('URI:') ? [name.slice(4)] : []))
  if (uris.length > 0 || names.includes('URI:')) {
    const [uri] = uris
    return uris.length === 1 && uri !== undefined && SPIFFE_ID.test(uri) ? uri : undefined
  }
  const commonName = certificate.subject?.CN
  return typeof commonName === 'string' && commonName !== '' ? `CN=${commonName}` : undefined
}

/** The caller of a TCP listener. `certificate`: the client's, only when it was verified. */
export const tcpPeer = (
  address: string | undefined,
  certificate: Certificate | undefined,
  identities: CertificateIdentities,
): Peer => {
  const needsCertificateIdentity = identities.size > 0
  const identity =
    needsCertificateIdentity && certificate !== undefined ? certificateIdentity(certificate) : undefined
  const boundApiKeyId = identity === undefined ? undefined : identities.get(identity)
  return { transport: 'tcp', address, boundApiKeyId, needsCertificateIdentity }
}

export const unixPeer = (boundApiKeyId: ApiKeyId | undefined): Peer => ({
  transport: 'unix',
  address: undefined,
  boundApiKeyId,
  needsCertificateIdentity: false,
})

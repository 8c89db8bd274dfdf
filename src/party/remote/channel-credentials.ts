/** TLS 1.3 between two parties that know each other's certificate byte for byte: no authorities, no names. */
import { createSecureContext, type PeerCertificate } from 'node:tls'
import { ChannelCredentials, ServerCredentials } from '@grpc/grpc-js'
import { SERVER_SETTINGS } from './cosigner-service.ts'
import type { PairedParty } from './pairing.ts'
import type { ChannelIdentity } from './identity-files.ts'
import { certificatePem } from './certificate.ts'

const isSame = (shown: Uint8Array | undefined, pinned: Uint8Array): boolean =>
  shown !== undefined && Buffer.from(pinned).equals(shown)

/**
 * Pinned certificates are the only trust anchors, and none of them may vouch for another: OpenSSL lets nothing else
 * through. Whoever shows none is refused in the handshake.
 */
class PinnedServerCredentials extends ServerCredentials {
  constructor(identity: ChannelIdentity, pinned: readonly PairedParty[]) {
    super(
      { requestCert: true, rejectUnauthorized: true, handshakeTimeout: 5_000, settings: SERVER_SETTINGS },
      {
        cert: Buffer.from(certificatePem(identity.own.certificate)),
        key: Buffer.from(identity.keyPem),
        ca: pinned.map(({ certificate }) => certificatePem(certificate)).join(''),
        minVersion: 'TLSv1.3',
      },
    )
  }

  _equals(other: ServerCredentials): boolean {
    return this === other
  }
}

export const pinnedServer = (identity: ChannelIdentity, pinned: readonly PairedParty[]): ServerCredentials =>
  new PinnedServerCredentials(identity, pinned)

/** Which of the pinned parties a caller is, by the certificate of its connection. */
export const partyOf = (certificate: Partial<PeerCertificate> | undefined, pinned: readonly PairedParty[]) =>
  pinned.find((party) => isSame(certificate?.raw, party.certificate))

export type ClientIdentity = { readonly keyPem: string; readonly certificate: Uint8Array; readonly peerCertificate: Uint8Array }

export const pinnedClient = ({ keyPem, certificate, peerCertificate }: ClientIdentity): ChannelCredentials => {
  const context = createSecureContext({
    cert: certificatePem(certificate),
    key: keyPem,
    ca: certificatePem(peerCertificate),
    minVersion: 'TLSv1.3',
  })
  return ChannelCredentials.createFromSecureContext(context, {
    rejectUnauthorized: true,
    checkServerIdentity: (_host, shown) =>
      isSame(shown.raw, peerCertificate) ? undefined : new Error('another certificate than the pinned one'),
  })
}

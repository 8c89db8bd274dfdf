/**
 * TLS of the gRPC listener. grpc-js can change a running server's certificate, but only from within a
 * ServerCredentials; this file is the one place that relies on the insides of that class.
 */
import { ServerCredentials } from '@grpc/grpc-js'
import type { CertificateFiles, TlsMaterial } from './certificate-files.ts'

/** The version has to stand here: a change of certificate resets it to Node's default otherwise. */
const contextOptions = ({ cert, key, ca }: TlsMaterial) => ({ cert, key, ca, minVersion: 'TLSv1.3' as const })

class ReloadingCredentials extends ServerCredentials {
  constructor(certificates: CertificateFiles) {
    const requestCert = certificates.needsClientCertificate
    super(
      { requestCert, rejectUnauthorized: requestCert, handshakeTimeout: 5_000 },
      contextOptions(certificates.material),
    )
    certificates.onChange((material) => this.updateSecureContextOptions(contextOptions(material)))
  }

  _equals(other: ServerCredentials): boolean {
    return this === other
  }
}

/** TLS 1.3 with a certificate that follows its files, or plaintext. */
export const grpcCredentials = (certificates: CertificateFiles | undefined): ServerCredentials =>
  certificates === undefined ? ServerCredentials.createInsecure() : new ReloadingCredentials(certificates)

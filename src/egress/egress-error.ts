/** Why nothing, or nothing usable, came back. None of them says what was on the other side. */
export type EgressFault =
  /** Not sent: the URL, its address, port or lack of encryption is not allowed. */
  | 'url_refused'
  | 'address_refused'
  | 'port_refused'
  | 'plaintext_refused'
  | 'unresolvable'
  | 'connect_failed'
  | 'certificate_refused'
  | 'timeout'
  | 'response_too_large'
  | 'broken'
  | 'aborted'

const SENTENCES: Readonly<Record<EgressFault, string>> = {
  url_refused: 'the URL is not one the daemon asks',
  address_refused: 'the host leads to an address the daemon does not reach out to',
  port_refused: 'the port is not one the daemon reaches out to',
  plaintext_refused: 'the host is only reached over TLS',
  unresolvable: 'the host does not resolve',
  connect_failed: 'the host does not take the connection',
  certificate_refused: 'the host shows no certificate that fits its name',
  timeout: 'the host did not answer in time',
  response_too_large: 'the answer is larger than is read',
  broken: 'the answer ended early or is not HTTP',
  aborted: 'the request was given up',
}

export class EgressError extends Error {
  readonly fault: EgressFault

  constructor(fault: EgressFault) {
    super(SENTENCES[fault])
    this.name = 'EgressError'
    this.fault = fault
  }
}

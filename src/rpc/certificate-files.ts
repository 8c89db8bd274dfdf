/** The server's certificate and key, and the authority of its clients, read again when the files change. */
import { X509Certificate } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { createSecureContext } from 'node:tls'

export type TlsFiles = {
  readonly certFile: string
  readonly keyFile: string
  /** When set, every client must present a certificate of this authority. */
  readonly clientCaFile: string | undefined
}

export type TlsMaterial = {
  readonly cert: Buffer
  readonly key: Buffer
  readonly ca: Buffer | undefined
}

export type CertificateEvents = {
  readonly onReloaded: (facts: { readonly file: string; readonly notAfter: string }) => void
  /** The files changed into something that cannot be served; the old certificate stays. */
  readonly onRefused: (facts: { readonly file: string; readonly code: string }) => void
}

/** Reads the files. Throws when one cannot be read or certificate and key do not belong together. */
const load = ({ certFile, keyFile, clientCaFile }: TlsFiles): TlsMaterial => {
  const material = {
    cert: readFileSync(certFile),
    key: readFileSync(keyFile),
    ca: clientCaFile === undefined ? undefined : readFileSync(clientCaFile),
  }
  createSecureContext({ ...material, minVersion: 'TLSv1.3' })
  return material
}

/** Changes when a file is written or replaced. */
const fingerprint = ({ certFile, keyFile, clientCaFile }: TlsFiles): string =>
  [certFile, keyFile, ...(clientCaFile === undefined ? [] : [clientCaFile])]
    .map((file) => {
      const stat = statSync(file, { bigint: true, throwIfNoEntry: false })
      return stat === undefined ? 'gone' : `${stat.ino} ${stat.mtimeNs} ${stat.size}`
    })
    .join()

const codeOf = (error: unknown): string => {
  const code: unknown = (error as { code?: unknown } | undefined)?.code
  return typeof code === 'string' ? code : 'UNREADABLE'
}

export class CertificateFiles implements Disposable {
  readonly #files: TlsFiles
  readonly #events: CertificateEvents
  readonly #listeners = new Set<(material: TlsMaterial) => void>()
  readonly #timer: NodeJS.Timeout
  #material: TlsMaterial
  #seen: string

  /** Throws like reading the files does. They are looked at every `intervalMs`. */
  constructor(files: TlsFiles, events: CertificateEvents, intervalMs: number) {
    this.#files = files
    this.#events = events
    this.#seen = fingerprint(files)
    this.#material = load(files)
    this.#timer = setInterval(() => this.#look(), intervalMs).unref()
  }

  get material(): TlsMaterial {
    return this.#material
  }

  get needsClientCertificate(): boolean {
    return this.#files.clientCaFile !== undefined
  }

  onChange(listener: (material: TlsMaterial) => void): void {
    this.#listeners.add(listener)
  }

  #look(): void {
    const now = fingerprint(this.#files)
    if (now === this.#seen) return
    this.#seen = now
    const file = this.#files.certFile
    try {
      this.#material = load(this.#files)
    } catch (error) {
      this.#events.onRefused({ file, code: codeOf(error) })
      return
    }
    for (const listener of this.#listeners) listener(this.#material)
    this.#events.onReloaded({ file, notAfter: new X509Certificate(this.#material.cert).validToDate.toISOString() })
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
    this.#listeners.clear()
  }
}

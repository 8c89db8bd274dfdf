/** The one way out for e-mail: to the configured server, at a judged address, within a limit of time. */
import { rootCertificates } from 'node:tls'
import { createTransport } from 'nodemailer'
import { type AllowList, parseAllowList } from './address-guard.ts'
import { EgressError } from './egress-error.ts'
import { type ResolveHost, resolveAllowed, systemResolve } from './resolve-host.ts'

export type MailServer = {
  readonly host: string
  readonly port: number
  /** `tls` from the first byte, `starttls` or nothing at all, `none` never. */
  readonly security: 'tls' | 'starttls' | 'none'
  readonly username: string | undefined
  /** Read when a mail is sent. */
  readonly password: (() => string) | undefined
  /** The address mails come from. */
  readonly from: string
}

export type MailSettings = {
  readonly server: MailServer
  /** As of HTTP: hosts and networks that may be reached although they are not public. */
  readonly allow: readonly string[]
  readonly extraAuthorities?: string | undefined
  readonly resolve?: ResolveHost | undefined
}

export type Mail = {
  readonly senderName: string
  readonly to: string
  readonly subject: string
  readonly text: string
  readonly signal: AbortSignal
}

/**
 * Throws EgressError when the server cannot be reached or does not take mail. That it does not take mail for one address
 * is no error: whoever asks is not to learn which addresses exist.
 */
export type SendMail = (mail: Mail) => Promise<void>

const USUAL_PORTS = [25, 465, 587, 2525]
const TIMEOUT_MS = 10_000
/** Mails on their way at once; more find the server busy. */
const MAX_AT_ONCE = 16

const isRecipientRefused = (error: unknown): boolean => {
  const { code, command } = error as { readonly code?: unknown; readonly command?: unknown }
  return code === 'EENVELOPE' && command === 'RCPT TO'
}

const faultOf = (error: unknown): EgressError => {
  const { code } = error as { readonly code?: unknown }
  if (code === 'ETIMEDOUT') return new EgressError('timeout')
  return new EgressError(code === 'ETLS' || code === 'ESOCKET' || code === 'ECONNECTION' ? 'connect_failed' : 'broken')
}

const transportTo = (address: string, { server, extraAuthorities }: MailSettings) => {
  const { host, port, security, username, password } = server
  return createTransport({
    host: address,
    port,
    secure: security === 'tls',
    requireTLS: security === 'starttls',
    ignoreTLS: security === 'none',
    ...(username === undefined || password === undefined ? {} : { auth: { user: username, pass: password() } }),
    tls: {
      servername: host,
      rejectUnauthorized: true,
      minVersion: 'TLSv1.2',
      ...(extraAuthorities === undefined ? {} : { ca: [...rootCertificates, extraAuthorities] }),
    },
    connectionTimeout: TIMEOUT_MS,
    greetingTimeout: TIMEOUT_MS,
    socketTimeout: TIMEOUT_MS,
    disableFileAccess: true,
    disableUrlAccess: true,
  })
}

/** Throws on an allow list that does not parse. */
export const createMailEgress = (settings: MailSettings): SendMail => {
  const { server, resolve = systemResolve } = settings
  const allowed: AllowList = parseAllowList(settings.allow)
  const destination = {
    host: server.host,
    port: server.port,
    isEncrypted: server.security !== 'none',
    usualPorts: USUAL_PORTS,
  }
  let sending = 0
  const send = async ({ senderName, to, subject, text }: Mail, giveUp: Promise<never>): Promise<void> => {
    const [address = ''] = await Promise.race([resolveAllowed(allowed, resolve, destination), giveUp])
    const transport = transportTo(address, settings)
    const mail = {
      from: { name: senderName, address: server.from },
      to: { name: '', address: to },
      subject,
      text,
      headers: { 'auto-submitted': 'auto-generated' },
    }
    const sent = transport.sendMail(mail)
    sent.catch(() => {})
    try {
      await Promise.race([sent, giveUp])
    } catch (error) {
      if (error instanceof EgressError) throw error
      if (!isRecipientRefused(error)) throw faultOf(error)
    } finally {
      transport.close()
    }
  }
  return async (mail) => {
    if (sending >= MAX_AT_ONCE) throw new EgressError('timeout')
    const { promise: giveUp, reject } = Promise.withResolvers<never>()
    giveUp.catch(() => {})
    const timer = setTimeout(() => reject(new EgressError('timeout')), TIMEOUT_MS)
    const abort = (): void => reject(new EgressError('aborted'))
    mail.signal.addEventListener('abort', abort, { once: true })
    if (mail.signal.aborted) abort()
    sending += 1
    try {
      await send(mail, giveUp)
    } finally {
      sending -= 1
      clearTimeout(timer)
      mail.signal.removeEventListener('abort', abort)
    }
  }
}

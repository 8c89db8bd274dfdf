/** The ways out, as the configuration limits them. */
import { readFileSync } from 'node:fs'
import { ConfigError } from '../config/config-error.ts'
import type { Config } from '../config/config.ts'
import { createHttpEgress, type SendHttp } from '../egress/http.ts'

const MAX_AUTHORITY_BYTES = 1_048_576

/** The file is read once, at start. Throws ConfigError. */
export const readAuthorities = ({ egress: { authorityFile } }: Config): string | undefined => {
  if (authorityFile === undefined) return undefined
  let text: string
  try {
    text = readFileSync(authorityFile, 'utf8')
  } catch (error) {
    throw new ConfigError('--egress-ca-file', `${authorityFile} cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown'})`)
  }
  if (text.length > MAX_AUTHORITY_BYTES || !text.includes('-----BEGIN CERTIFICATE-----'))
    throw new ConfigError('--egress-ca-file', `${authorityFile} holds no PEM certificates`)
  return text
}

export const wireHttpEgress = (config: Config): SendHttp =>
  createHttpEgress({ allow: config.egress.allow, extraAuthorities: readAuthorities(config) })

/**
 * The log: one JSON object a line on stderr, or one readable line when stderr is a terminal. Only events.ts
 * writes to it, and only fields it names, so nothing gets in by being part of a larger object. Redaction below
 * is a second net.
 */
import { pino } from 'pino'
import { Secret } from '../domain/secret.ts'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'
export type LogValue = string | number | boolean | readonly string[] | undefined
export type LogFields = Readonly<Record<string, LogValue>>

export type Logger = {
  readonly write: (level: LogLevel, event: string, fields: LogFields) => void
}

export type LogSink = { readonly write: (line: string) => void }

const REDACTED_WORDS = /passphrase|secret|private|share|password|token|authorization|seed|mnemonic/i
/** An API key in clear, should one ever stand inside a text field. */
const API_KEY_TEXT = /csk_[A-Za-z0-9_-]{8,}/g
const MAX_TEXT_CHARACTERS = 512

const cleanText = (text: string): string => {
  const clean = text.replaceAll(API_KEY_TEXT, 'csk_[secret]')
  return clean.length <= MAX_TEXT_CHARACTERS ? clean : `${clean.slice(0, MAX_TEXT_CHARACTERS)}…`
}

const cleanValue = (name: string, value: unknown): unknown => {
  if (REDACTED_WORDS.test(name) || value instanceof Secret || ArrayBuffer.isView(value)) return '[secret]'
  if (typeof value === 'string') return cleanText(value)
  if (typeof value === 'bigint') return value.toString()
  if (Array.isArray(value)) return value.map((item) => cleanText(String(item)))
  return typeof value === 'object' ? '[object]' : value
}

const isControl = (code: number): boolean => code < 0x20 || (code >= 0x7f && code < 0xa0)
/** Text of a caller must not move the cursor or forge a line on an operator's terminal. */
export const withoutControls = (text: string): string =>
  Array.from(text, (character) => (isControl(character.codePointAt(0) ?? 0) ? '�' : character)).join('')

/** `12:00:00.000 info  wallet.created walletId=wal_…`: for people; nothing parses it. */
export const formatForTerminal = (line: string): string => {
  const { time, level, event, ...fields } = JSON.parse(line) as Record<string, unknown>
  const facts = Object.entries(fields).map(([name, value]) => {
    const text = typeof value === 'string' ? value : JSON.stringify(value)
    return ` ${name}=${/[\s"=]/.test(text) ? JSON.stringify(text) : text}`
  })
  return (
    withoutControls(`${String(time).slice(11, 23)} ${String(level).padEnd(5)} ${String(event)}${facts.join('')}`) +
    '\n'
  )
}

/**
 * Makes the logger. `sink` receives whole lines (default stderr, written synchronously so that the last line
 * before a crash is there); `pretty` turns them into text for a terminal.
 */
export const createLogger = (settings: {
  readonly level: LogLevel | 'silent'
  readonly pretty: boolean
  readonly sink?: LogSink
}): Logger => {
  const sink = settings.sink ?? pino.destination({ dest: 2, sync: true })
  const stream = settings.pretty ? { write: (line: string) => sink.write(formatForTerminal(line)) } : sink
  const log = pino(
    {
      level: settings.level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    stream,
  )
  return {
    write: (level, event, fields) => {
      if (!log.isLevelEnabled(level)) return
      const clean = Object.entries(fields).flatMap(([name, value]) =>
        value === undefined ? [] : [[name, cleanValue(name, value)] as const],
      )
      log[level]({ event, ...Object.fromEntries(clean) })
    },
  }
}

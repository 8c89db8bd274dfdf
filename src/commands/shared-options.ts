/** Options that several commands have, declared once, and the way from commander's parsed options to `Flags`. */
import { InvalidArgumentError, Option, type Command } from 'commander'
import {
  tomlKey,
  OPTION_NAMES,
  OPTIONS,
  SECRET_NAMES,
  SECRET_SUMMARIES,
  environmentName,
} from '../config/options.ts'
import type { Flags } from '../config/load-config.ts'

/** commander keys parsed options by camelCase; config knows them by their flag's name. */
export const flagsOf = (command: Command): Flags => {
  const values = command.opts<Record<string, unknown>>()
  return Object.fromEntries(
    command.options.flatMap((option) => {
      const value = values[option.attributeName()]
      const name = option.long?.replace(/^--/, '') ?? option.attributeName()
      return typeof value === 'string' || typeof value === 'boolean' ? [[name, value]] : []
    }),
  )
}

/** Every option of the daemon, as the table in config has it. */
export const withDaemonOptions = (command: Command): Command => {
  command.option('--config <path>', 'TOML file with any of these options (COUNTERSIGN_CONFIG)')
  for (const name of OPTION_NAMES) {
    const { placeholder, summary, fallback } = OPTIONS[name] as {
      placeholder?: string
      summary: string
      fallback?: string
    }
    const shown = fallback === undefined || placeholder === undefined ? '' : ` (default ${fallback})`
    command.option(placeholder === undefined ? `--${name}` : `--${name} ${placeholder}`, `${summary}${shown}`)
  }
  for (const name of SECRET_NAMES) {
    command.option(`--${name}-file <path>`, `file with the ${SECRET_SUMMARIES[name]}`)
    command.option(`--${name}-fd <number>`, `file descriptor with the ${SECRET_SUMMARIES[name]}`)
  }
  command.addHelpText(
    'after',
    `\nEvery option is also a variable and a key of the file: --grpc-listen is ` +
      `${environmentName('grpc-listen')} and ${tomlKey('grpc-listen')}. ` +
      'Precedence: flag, variable, file, default.',
  )
  return command
}

/** What every command that talks to a running daemon takes. */
export const withClientOptions = (command: Command): Command =>
  command
    .option('--data-dir <dir>', 'directory of the running daemon (default .countersign)')
    .option('--config <path>', 'TOML file of the daemon, for its data_dir')
    .option('--endpoint <address>', 'a daemon elsewhere: host:port, https://host:port or unix:<path>')
    .option('--api-key-file <path>', 'file with the API key (default <data-dir>/admin.key)')
    .option('--ca-file <path>', 'authority (PEM) of a daemon that serves TLS')
    .option('--allow-plaintext-beyond-loopback', 'send the API key unencrypted to another machine')
    .option('--json', 'print JSON instead of text for people')

export const parseCount =
  (min: number, max: number) =>
  (text: string): number => {
    const value = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN
    if (!(value >= min && value <= max))
      throw new InvalidArgumentError(`Expected a whole number from ${min} to ${max}.`)
    return value
  }

export const parseSequence = (text: string): bigint => {
  if (!/^\d{1,19}$/.test(text)) throw new InvalidArgumentError('Expected a sequence number.')
  return BigInt(text)
}

export const collect = (value: string, before: readonly string[]): readonly string[] => [...before, value]

export const limitOption = (): Option =>
  new Option('--limit <count>', 'print at most this many, 0 for all')
    .argParser(parseCount(0, 1_000_000))
    .default(100)

export const requestIdOption = (): Option =>
  new Option('--request-id <uuid>', 'repeat an earlier call safely: same id, same answer').argParser((text) => {
    if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text))
      throw new InvalidArgumentError('Expected a UUID.')
    return text
  })

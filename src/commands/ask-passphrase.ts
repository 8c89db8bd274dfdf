/**
 * Asks at the terminal for a passphrase that no other source gave. Typed bytes stay bytes and are not echoed;
 * nothing is asked where there is no terminal.
 */
import type { Readable } from 'node:stream'
import type { Config, RootKeySource, Secrets } from '../config/config.ts'
import { Secret } from '../domain/secret.ts'
import { CommandRefusal } from './terminal.ts'

export type Keyboard = Readable & { readonly isTTY?: boolean; setRawMode?: (raw: boolean) => unknown }

const MAX_BYTES = 4_096
const [CTRL_C, CTRL_D, BACKSPACE, LINE_FEED, RETURN, DELETE] = [0x03, 0x04, 0x08, 0x0a, 0x0d, 0x7f]
/** Continuation bytes of UTF-8, which go with the byte that leads them. */
const isContinuation = (byte: number | undefined): boolean => byte !== undefined && (byte & 0xc0) === 0x80

type Line = { readonly bytes: Uint8Array; length: number }

const eraseCharacter = (line: Line): void => {
  while (line.length > 0 && isContinuation(line.bytes[line.length - 1])) line.length -= 1
  line.length = Math.max(0, line.length - 1)
}

/** Takes typed bytes; true when the line is complete. */
const typeInto = (line: Line, typed: Uint8Array): boolean => {
  for (const byte of typed) {
    if (byte === LINE_FEED || byte === RETURN || byte === CTRL_D) return true
    if (byte === CTRL_C) throw new CommandRefusal('interrupted')
    if (byte === BACKSPACE || byte === DELETE) eraseCharacter(line)
    else if (line.length === MAX_BYTES) throw new CommandRefusal(`a passphrase is at most ${MAX_BYTES} bytes`)
    else line.bytes[line.length++] = byte
  }
  return false
}

/** One line from the keyboard, not echoed. The caller owns and wipes the answer. */
export const readHiddenLine = async (keyboard: Keyboard): Promise<Uint8Array> => {
  const line: Line = { bytes: new Uint8Array(MAX_BYTES), length: 0 }
  keyboard.setRawMode?.(true)
  try {
    for await (const typed of keyboard.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>) {
      const isComplete = typeInto(line, typed)
      typed.fill(0)
      if (isComplete) break
    }
    return line.bytes.slice(0, line.length)
  } finally {
    line.bytes.fill(0)
    keyboard.setRawMode?.(false)
    keyboard.pause()
  }
}

export type Asking = {
  readonly keyboard: Keyboard
  readonly show: (text: string) => void
  /** Ask twice: what is typed now seals something new. */
  readonly confirm: boolean
}

const ask = async (what: string, { keyboard, show, confirm }: Asking): Promise<Secret<Uint8Array>> => {
  show(`${what}: `)
  const first = await readHiddenLine(keyboard)
  show('\n')
  if (first.length === 0) throw new CommandRefusal('the passphrase is empty')
  if (confirm) {
    show(`${what}, again: `)
    const second = await readHiddenLine(keyboard)
    show('\n')
    const isSame = Buffer.from(first).equals(second)
    second.fill(0)
    if (!isSame) {
      first.fill(0)
      throw new CommandRefusal('the two passphrases differ')
    }
  }
  return new Secret(first)
}

/** `secrets`, completed at the terminal where a `passphrase:` provider has none and there is a terminal to ask. */
export const completeSecrets = async (config: Config, secrets: Secrets, asking: Asking): Promise<Secrets> => {
  if (asking.keyboard.isTTY !== true) return secrets
  const complete = async (source: RootKeySource, given: Secret<Uint8Array> | undefined, what: string) =>
    given === undefined && source.scheme === 'passphrase' ? await ask(what, asking) : given
  return {
    ...secrets,
    rootKeyPassphrase: await complete(config.rootKey, secrets.rootKeyPassphrase, 'Passphrase of the vault'),
    cosignerRootKeyPassphrase: await complete(
      config.cosignerRootKey,
      secrets.cosignerRootKeyPassphrase,
      "Passphrase of the cosigner's vault",
    ),
  }
}

export const askAtTerminal = (confirm: boolean): Asking => ({
  keyboard: process.stdin,
  show: (text) => void process.stderr.write(text),
  confirm,
})

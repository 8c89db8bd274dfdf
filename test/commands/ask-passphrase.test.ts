import { PassThrough } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { completeSecrets, readHiddenLine, type Keyboard } from '../../src/commands/ask-passphrase.ts'
import { loadConfig } from '../../src/config/load-config.ts'

const keyboardTyping = (...lines: readonly string[]) => {
  const raw: boolean[] = []
  const stream = new PassThrough()
  const keyboard: Keyboard = Object.assign(stream, { isTTY: true, setRawMode: (mode: boolean) => raw.push(mode) })
  // A person types the next line after the one before was taken.
  const feed = (): void => {
    const next = lines[raw.filter((mode) => mode).length - 1]
    if (raw.at(-1) === true && next !== undefined && !stream.readableLength) stream.write(next)
  }
  const timer = setInterval(feed, 1)
  return { keyboard, raw, done: () => clearInterval(timer) }
}

const typed = async (line: string): Promise<string> => {
  const { keyboard, raw, done } = keyboardTyping(line)
  try {
    return new TextDecoder().decode(await readHiddenLine(keyboard))
  } finally {
    done()
    expect(raw).toEqual([true, false])
  }
}

describe('a line that is not echoed', () => {
  it('ends with the line, and takes back whole characters', async () => {
    expect(await typed('correct horse\r')).toBe('correct horse')
    expect(await typed('abc\u007f\u007fd\n')).toBe('ad')
    expect(await typed('aü€\u007f\u007fb\r')).toBe('ab')
    expect(await typed('\u007f\u007fx\r')).toBe('x')
  })

  it('ends at Ctrl-C and beyond 4096 bytes, and gives the terminal back', async () => {
    await expect(typed('abc\u0003')).rejects.toThrow('interrupted')
    await expect(typed('x'.repeat(5_000))).rejects.toThrow('at most 4096 bytes')
  })
})

describe('asking for what no source gave', () => {
  const load = (flags: Record<string, string>) => loadConfig(flags, { environment: {}, cwd: '/srv' })
  const both = { 'root-key': 'passphrase:', 'cosigner-root-key': 'passphrase:' }

  const complete = async (flags: Record<string, string>, confirm: boolean, ...lines: string[]) => {
    const shown: string[] = []
    const { keyboard, done } = keyboardTyping(...lines)
    const { config, secrets } = load(flags)
    try {
      const asking = { keyboard, show: (text: string) => void shown.push(text), confirm }
      return { secrets: await completeSecrets(config, secrets, asking), shown: shown.join('') }
    } finally {
      done()
    }
  }
  const textOf = (bytes: Uint8Array | undefined): string => new TextDecoder().decode(bytes)

  it('asks each party for its own', async () => {
    const { secrets, shown } = await complete(both, false, 'one\r', 'two\r')
    expect(textOf(secrets.rootKeyPassphrase?.reveal())).toBe('one')
    expect(textOf(secrets.cosignerRootKeyPassphrase?.reveal())).toBe('two')
    expect(shown).not.toMatch(/one|two/)
  })

  it('asks twice for what seals something new', async () => {
    const { secrets } = await complete({ 'root-key': 'passphrase:' }, true, 'one\r', 'one\r')
    expect(textOf(secrets.rootKeyPassphrase?.reveal())).toBe('one')
    await expect(complete({ 'root-key': 'passphrase:' }, true, 'one\r', 'two\r')).rejects.toThrow('differ')
    await expect(complete({ 'root-key': 'passphrase:' }, true, '\r')).rejects.toThrow('empty')
  })

  it('asks nothing where no passphrase is needed or nobody can answer', async () => {
    expect((await complete({}, true)).shown).toBe('')
    const { config, secrets } = load(both)
    const asking = { keyboard: new PassThrough(), show: () => expect.unreachable(), confirm: true }
    expect(await completeSecrets(config, secrets, asking)).toBe(secrets)
  })
})

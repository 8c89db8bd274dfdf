import { describe, expect, it } from 'vitest'
import { Secret } from '../../src/domain/secret.ts'
import { logDaemonServing, logInternalError, logRequestRefused } from '../../src/observe/events.ts'
import { createLogger, type LogFields } from '../../src/observe/logger.ts'

const capture = (pretty = false, level: 'debug' | 'info' | 'error' | 'silent' = 'debug') => {
  const lines: string[] = []
  return { lines, log: createLogger({ level, pretty, sink: { write: (line) => void lines.push(line) } }) }
}

const SECRET_TEXT = 'csk_0123456789abcdef0123456789abcdef'

describe('the log', () => {
  it('writes one JSON object a line with time, level, event and the facts', () => {
    const { lines, log } = capture()
    logRequestRefused(log, { method: 'countersign.v1.WalletService/SignMessage', reason: 'FROZEN' })
    expect(lines).toHaveLength(1)
    expect(JSON.parse(lines[0] ?? '')).toEqual({
      level: 'info',
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT/) as string,
      event: 'request.refused',
      method: 'countersign.v1.WalletService/SignMessage',
      reason: 'FROZEN',
    })
    expect(lines[0]?.endsWith('\n')).toBe(true)
  })

  it('logs what an event lists and nothing else of the object it is given', () => {
    const { lines, log } = capture()
    const endpoints = { grpc: 'a:1', connect: 'a:2', socket: '/s', share: 'aa', extra: 'bb' }
    logDaemonServing(log, endpoints)
    expect(lines.join()).not.toMatch(/"aa"|"bb"|share|extra/)
  })

  it('hides secrets that got into a field all the same', () => {
    const { lines, log } = capture()
    const fields: Record<string, unknown> = {
      where: `key ${SECRET_TEXT} refused`,
      rootPassphrase: 'hunter2',
      list: [SECRET_TEXT],
      wrapped: new Secret('hunter2'),
      bytes: new TextEncoder().encode('hunter2'),
      nested: { deep: 'hunter2' },
    }
    log.write('info', 'test', fields as LogFields)
    const bytes = [...new TextEncoder().encode('hunter2')].join(',')
    expect(lines.join()).not.toContain('hunter2')
    expect(lines.join()).not.toContain(SECRET_TEXT)
    expect(lines.join()).not.toContain(bytes)
  })

  it('says of an internal error where, never what it quoted', () => {
    const { lines, log } = capture()
    let error: unknown
    try {
      JSON.parse('{"key": hunter2')
    } catch (caught) {
      error = caught
    }
    logInternalError(log, { where: 'WalletService/SignMessage', error })
    expect(lines.join()).toContain('SyntaxError')
    expect(lines.join()).toContain('logger.test.ts')
    expect(lines.join()).not.toContain('hunter')
  })

  it('keeps control characters of a caller off the terminal', () => {
    const { lines, log } = capture(true)
    logRequestRefused(log, { method: 'x\u001b[2J\nfake line', reason: 'FROZEN' })
    expect(lines).toHaveLength(1)
    expect(lines[0]).not.toContain('\u001b')
    expect(lines[0]?.indexOf('\n')).toBe((lines[0]?.length ?? 0) - 1)
    expect(lines[0]).toMatch(/^\d\d:\d\d:\d\d\.\d{3} info {2}request\.refused method=.* reason=FROZEN\n$/)
  })

  it('is quiet below its level', () => {
    const { lines, log } = capture(false, 'error')
    logRequestRefused(log, { method: 'm', reason: 'FROZEN' })
    expect(lines).toEqual([])
    const silent = capture(false, 'silent')
    logInternalError(silent.log, { where: 'w', error: new Error('x') })
    expect(silent.lines).toEqual([])
  })
})

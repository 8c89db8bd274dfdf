import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { resolve } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { secp256k1 } from '@noble/curves/secp256k1.js'
import { describe, expect, it } from 'vitest'
import { deriveChild } from '../../src/engine/dkls23/derive.ts'

const root = resolve(import.meta.dirname, '../..')
const ID_C = 'c1'.repeat(32)
const ID_S = '52'.repeat(32)
const ids = [ID_C, ID_S]
const fromHex = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, 'hex'))
const sha256Hex = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

type Peer = ChildProcessByStdio<Writable, Readable, Readable>
type Line = {
  readonly op?: string
  readonly error?: string
  readonly wallets?: { slot: number; walletId: string; publicKey: string; chainCode: string }[]
  readonly presignatures?: { slot: number; presigId: string }[]
  readonly publicKey?: string
  readonly digest?: string
  readonly path?: string
  readonly r?: string
  readonly s?: string
  readonly recid?: number
}
type Ended = { readonly code: number | null; readonly lines: Line[] }

const startPeer = (...args: string[]): Peer =>
  spawn(process.execPath, ['src/commands/engine-peer.ts', ...args], {
    cwd: root,
    env: { ...process.env, NODE_OPTIONS: '' },
    stdio: ['pipe', 'pipe', 'pipe'],
  })

const ended = async (peer: Peer): Promise<Ended> => {
  let text = ''
  peer.stderr.on('data', (chunk: Buffer) => (text += chunk.toString()))
  const code = await new Promise<number | null>((done) => peer.once('close', done))
  return {
    code,
    lines: text
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as Line),
  }
}

/** Both parties with their streams crossed, and a hash over all bytes in each direction. */
const runBoth = async (operations: readonly string[], seeds: readonly [string, string] = ['one', 'two']) => {
  const c = startPeer('C', seeds[0], ...ids, ...operations)
  const s = startPeer('S', seeds[1], ...ids)
  const hashes = [createHash('sha256'), createHash('sha256')] as const
  c.stdout.on('data', (chunk: Buffer) => hashes[0].update(chunk))
  s.stdout.on('data', (chunk: Buffer) => hashes[1].update(chunk))
  c.stdout.pipe(s.stdin)
  s.stdout.pipe(c.stdin).on('error', () => undefined)
  const [endC, endS] = await Promise.all([ended(c), ended(s)])
  return { c: endC, s: endS, wire: hashes.map((hash) => hash.digest('hex')) }
}

/** Writes frames to S and answers what came back, until its end. */
const askS = async (input: Uint8Array): Promise<Ended & { readonly answers: Uint8Array[] }> => {
  const s = startPeer('S', 'seed', ...ids)
  const chunks: Buffer[] = []
  s.stdout.on('data', (chunk: Buffer) => chunks.push(chunk))
  s.stdin.on('error', () => undefined)
  s.stdin.end(input)
  const end = await ended(s)
  const answers: Uint8Array[] = []
  for (let rest = Buffer.concat(chunks); rest.length > 0;) {
    const length = rest.readUInt32LE(0)
    answers.push(rest.subarray(4, 4 + length))
    rest = rest.subarray(4 + length)
  }
  return { ...end, answers }
}

const prefixed = (frame: Uint8Array, length = frame.length): Buffer => {
  const prefix = Buffer.alloc(4)
  prefix.writeUInt32LE(length)
  return Buffer.concat([prefix, frame])
}

/** A header of `type` by C with nothing behind it. */
const header = (type: number, linkId: Uint8Array, bodyLength = 0): Buffer => {
  const bytes = Buffer.alloc(64)
  bytes.write('CSG2', 0, 'latin1')
  bytes.set([1, type, 1, 0], 4)
  bytes.set(linkId, 8)
  bytes.writeUInt32LE(bodyLength, 60)
  return bytes
}

const helloFrame = async (): Promise<Buffer> => {
  // An error frame carries the link's id, so a first frame for another link tells it.
  const { answers } = await askS(prefixed(header(0x7e, new Uint8Array(16))))
  const linkId = (answers[0] as Uint8Array).subarray(8, 24)
  return Buffer.concat([header(0x7e, linkId, 16), Buffer.alloc(16, 9)])
}

const expectVerifies = (line: Line): void => {
  const { publicKey = '', digest = '', r = '', s = '', recid = -1 } = line
  const options = { prehash: false, lowS: true }
  expect(secp256k1.verify(fromHex(r + s), fromHex(digest), fromHex(publicKey), options)).toBe(true)
  const signature = secp256k1.Signature.fromBytes(fromHex(r + s), 'compact').addRecoveryBit(recid)
  expect(signature.recoverPublicKey(fromHex(digest)).toHex(true)).toBe(publicKey)
}

describe('engine:peer', () => {
  it('runs every operation between two processes, and its signatures verify', async () => {
    const { c, s } = await runBoth([
      'link',
      'dkg:2',
      'presign:0,1,0',
      'sign:0:m:00',
      'sign:1:m/1/2:c0ffee',
      'sign:0:m/7:',
    ])
    expect(c.lines.filter(({ error }) => error !== undefined)).toEqual([])
    expect([c.code, s.code]).toEqual([0, 0])
    expect(c.lines.map(({ op }) => op)).toEqual(['link', 'dkg', 'presign', 'sign', 'sign', 'sign'])

    const wallets = c.lines[1]?.wallets ?? []
    const signatures = c.lines.slice(3)
    for (const line of signatures) expectVerifies(line)
    expect(signatures[0]?.publicKey).toBe(wallets[0]?.publicKey)
    expect(signatures[1]?.digest).toBe(sha256Hex(fromHex('c0ffee')))
    const [, second] = wallets
    const child = deriveChild(fromHex(second?.publicKey ?? ''), fromHex(second?.chainCode ?? ''), [1, 2])
    expect(signatures[1]?.publicKey).toBe(Buffer.from(child.publicKey).toString('hex'))

    // S made the same wallets and the same signatures.
    expect(s.lines.map(({ op }) => op)).toEqual(['dkg', 'sign', 'sign', 'sign'])
    expect(s.lines[0]?.wallets?.map(({ publicKey }) => publicKey)).toEqual(
      wallets.map(({ publicKey }) => publicKey),
    )
    expect(s.lines.slice(1).map((line) => line.s)).toEqual(signatures.map((line) => line.s))
  })

  it('refreshes several wallets in one exchange, and goes on signing under the same keys', async () => {
    const before = ['link', 'dkg:3', 'presign:0,1', 'sign:1:m:aa', 'refresh:2,0']
    const { c, s } = await runBoth([...before, 'presign:0,2', 'sign:0:m:01', 'sign:2:m/4:02', 'sign:1:m:03', 'refresh:0'])
    // The presignature of a wallet that was refreshed is gone; slot 1 has none left either.
    expect(c.lines.at(-1)).toEqual({ error: 'slot 1 has no presignature left' })
    const [, made, , first, refreshed, , ...signatures] = c.lines
    const keys = made?.wallets?.map(({ publicKey }) => publicKey)
    expect(refreshed).toMatchObject({
      op: 'refresh',
      wallets: [2, 0].map((slot) => ({ slot, wEpoch: 1, publicKey: keys?.[slot] })),
    })
    for (const line of [first, ...signatures.slice(0, 2)]) expectVerifies(line as Line)
    expect(signatures[0]?.publicKey).toBe(keys?.[0])
    expect(s.lines.map(({ op }) => op)).toEqual(['dkg', 'sign', 'refresh', 'sign', 'sign'])
    expect(s.lines[2]?.wallets?.map(({ publicKey }) => publicKey)).toEqual([keys?.[2], keys?.[0]])
  })

  it('puts the same bytes on the wire for the same seeds, and others for another', async () => {
    const operations = ['link', 'dkg:1', 'presign:0', 'sign:0:m:aa']
    const [first, again, other] = [
      await runBoth(operations),
      await runBoth(operations),
      await runBoth(operations, ['one', 'three']),
    ]
    expect(again.wire).toEqual(first.wire)
    expect(again.c.lines).toEqual(first.c.lines)
    expect(other.wire[1]).not.toBe(first.wire[1])
    expect(other.c.lines[1]).not.toEqual(first.c.lines[1])
  })

  it('answers garbage with an error frame and stays up', async () => {
    const hello = await helloFrame()
    const garbage = [
      Buffer.from('garbage'),
      Buffer.alloc(0),
      Buffer.alloc(200, 0xff),
      header(0x10, hello.subarray(8, 24), 5),
    ]
    const { answers, code } = await askS(Buffer.concat([...garbage, hello].map((frame) => prefixed(frame))))
    expect(code).toBe(0)
    expect(answers.map((answer) => answer[5])).toEqual([0x7f, 0x7f, 0x7f, 0x7f, 0x7e])
    expect(answers.slice(0, 4).map((answer) => answer[64])).toEqual([7, 7, 7, 7])
  })

  it('passes over a frame that is larger than any may be', async () => {
    const hello = await helloFrame()
    const huge = Buffer.alloc(4_000_000, 1)
    const { answers, code } = await askS(Buffer.concat([prefixed(huge), prefixed(hello)]))
    expect(code).toBe(0)
    expect(answers.map((answer) => answer[5])).toEqual([0x7f, 0x7e])
  })

  it('has no answer to an error frame: the length zero', async () => {
    const hello = await helloFrame()
    const error = Buffer.concat([header(0x7f, hello.subarray(8, 24), 3), Buffer.of(1, 0, 0)])
    const { answers, code } = await askS(Buffer.concat([prefixed(error), prefixed(hello)]))
    expect(code).toBe(0)
    expect(answers.map((answer) => answer.length)).toEqual([0, 80])
  })

  it('fails when the input ends inside a frame', async () => {
    const { code, lines } = await askS(prefixed(Buffer.alloc(10), 100))
    expect(code).toBe(1)
    expect(lines).toEqual([{ error: 'internal: the input ended inside a frame' }])
  })

  it('goes on with a peer that has no answer to the hello, and fails when the peer ends', async () => {
    const c = startPeer('C', 'seed', ...ids, 'dkg:1')
    c.stdin.on('error', () => undefined)
    let seen = 0
    c.stdout.on('data', (chunk: Buffer) => {
      seen += chunk.length
      // hello: 84 bytes with its prefix; then W1.
      if (seen === 84) c.stdin.write(Buffer.alloc(4))
      else c.stdin.end()
    })
    const { code, lines } = await ended(c)
    expect(code).toBe(1)
    expect(seen).toBe(84 + 4 + 64 + 67)
    expect(lines.map(({ error }) => error).filter(Boolean)).toEqual(['the peer ended'])
  })

  it.each([
    [['dkg:1', 'sign:0:m:00'], 1, 'slot 0 has no presignature left'],
    [['presign:0'], 1, 'no wallet was made for slot 0'],
    [['refresh:0'], 1, 'no wallet was made for slot 0'],
    [['dkg:1', 'link', 'presign:0', 'refresh:0', 'sign:0:m:00'], 1, 'slot 0 has no presignature left'],
    [['refresh:0,1,0'], 2, 'refresh:0,1,0: expected each slot once'],
    [['dkg:65'], 2, 'dkg:65: expected a number up to 64'],
    [['sign:0:m/2147483648:00'], 2, 'sign:0:m/2147483648:00: expected a path: m, m/1, m/1/2 …'],
    [['sign:0:m:0'], 2, 'sign:0:m:0: expected a payload in hex'],
    [['fly'], 2, 'fly: expected link, dkg:<n>, presign:<slot,…>, refresh:<slot,…> or sign:<slot>:<path>:<payload hex>'],
  ])('refuses %j with one line', async (operations, code, error) => {
    const { c } = await runBoth(operations)
    expect(c.code).toBe(code)
    expect(c.lines.at(-1)).toEqual({ error })
  })

  it('refuses ids that are none', async () => {
    const { code, lines } = await ended(startPeer('S', 'seed', 'c1', ID_S))
    expect(code).toBe(2)
    expect(lines).toHaveLength(1)
  })
})

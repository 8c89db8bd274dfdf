/**
 * The protocol peer (docs/protocol.md, "Peer tool"): one party of a link over stdin and stdout, for implementations that
 * want to talk to this one. Throw-away keys in memory, derived from a seed; no vault, no daemon. Stdout carries frames
 * alone; results are JSON lines on stderr.
 */
import { isFailure } from '../domain/failure.ts'
import { ProtocolFault } from '../engine/dkls23/fault.ts'
import { type Counterparty, PeerUnavailable } from '../party/counterparty.ts'
import { PeerRefusal } from '../party/peer-refusal.ts'
import { readFrames, writeFrame } from './peer-frames.ts'
import { driveOperations } from './peer-initiator.ts'
import { parsePeerOperation } from './peer-operations.ts'
import { openPeerResponder } from './peer-responder.ts'
import type { PeerRun } from './peer-run.ts'
import { CommandRefusal, UsageRefusal } from './terminal.ts'

type PeerStreams = {
  readonly input: AsyncIterable<Uint8Array>
  readonly output: NodeJS.WritableStream
  readonly report: PeerRun['report']
}

/** No answer for this long means that none will come: the other side may be slow, and is nobody's production. */
const ANSWER_TIMEOUT_MS = 120_000

const USAGE = 'engine:peer -- S <seed> <idC hex> <idS hex>, or C <seed> <idC hex> <idS hex> <op>…'

const parseId = (text: string | undefined): Uint8Array => {
  if (text === undefined || !/^[0-9a-f]{64}$/i.test(text)) throw new UsageRefusal(`a party id has 64 hex digits: ${USAGE}`)
  return new Uint8Array(Buffer.from(text, 'hex'))
}

/** Runs one party to its end and answers the exit code: 0 done, 1 refused or failed, 2 wrong usage. */
const runEnginePeer = async (argv: readonly string[], streams: PeerStreams): Promise<0 | 1 | 2> => {
  try {
    const [role, seed, idC, idS, ...words] = argv
    if (role !== 'C' && role !== 'S') throw new UsageRefusal(USAGE)
    if (seed === undefined || seed === '') throw new UsageRefusal(`a seed is missing: ${USAGE}`)
    const run: PeerRun = { seed, idC: parseId(idC), idS: parseId(idS), report: streams.report }
    if (role === 'S') {
      if (words.length > 0) throw new UsageRefusal('S takes no operations')
      await answerFrames(run, streams)
    } else {
      await driveOperations(run, words.map(parsePeerOperation), exchangeOver(streams))
    }
    return 0
  } catch (error) {
    streams.report({ error: explain(error) })
    return error instanceof UsageRefusal ? 2 : 1
  }
}

const answerFrames = async (run: PeerRun, { input, output }: PeerStreams): Promise<void> => {
  const answer = await openPeerResponder(run)
  for await (const frame of readFrames(input)) await writeFrame(output, await answer(frame))
}

const exchangeOver = ({ input, output }: PeerStreams): Counterparty['exchange'] => {
  const answers = readFrames(input)
  return (frame) => {
    // A peer that went away is told from its answers, which end as well.
    writeFrame(output, frame).catch(() => undefined)
    return nextAnswer(answers)
  }
}

const nextAnswer = async (answers: AsyncGenerator<Uint8Array, void>): Promise<Uint8Array | undefined> => {
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => late.reject(new PeerUnavailable('the peer does not answer')), ANSWER_TIMEOUT_MS)
  try {
    const next = await Promise.race([answers.next(), late.promise])
    if (next.done === true) throw new PeerUnavailable('the peer ended')
    return next.value.length === 0 ? undefined : next.value
  } finally {
    clearTimeout(timer)
  }
}

const explain = (error: unknown): string => {
  if (error instanceof PeerRefusal) return `the peer refused: ${error.refusal.code}`
  if (error instanceof ProtocolFault) return `class ${error.faultClass}, ${error.codeName}: ${error.message}`
  if (error instanceof UsageRefusal || error instanceof CommandRefusal || error instanceof PeerUnavailable) {
    return error.message
  }
  if (isFailure(error)) return error.message
  return error instanceof Error ? `internal: ${error.message}` : 'internal'
}

if (import.meta.main) {
  // What was not written is told by the write itself.
  process.stdout.on('error', () => undefined)
  process.exitCode = await runEnginePeer(process.argv.slice(2), {
    input: process.stdin,
    output: process.stdout,
    report: (line) => process.stderr.write(`${JSON.stringify(line)}\n`),
  })
  process.stdin.destroy()
}

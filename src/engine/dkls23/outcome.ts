/**
 * The question after a lost message and its answer (docs/protocol.md §12): S asks what became of a pending record,
 * C decides. An ABORTED answer is final: C can no longer commit that sid.
 */
import { concatBytes, u16, u32, u8 } from '../hash/encoding.ts'
import { violation } from './fault.ts'
import { assertBodyLength, bodyLengthFromCounts, FRAME_TYPES } from './frame.ts'
import { MAX_REFRESH_WALLETS } from './suite.ts'
import { BodyReader } from './wire.ts'

export type OutcomeQuestion = {
  readonly walletId: Uint8Array
  /** The pending epoch; 0 after a DKG, an import or a fork. */
  readonly wEpoch: number
  readonly sid: Uint8Array
}

export type OutcomeAnswer = OutcomeQuestion & { readonly verdict: 'COMMITTED' | 'ABORTED' }

/** Body of 0x39. */
export function encodeOutcomeQuestions(questions: readonly OutcomeQuestion[]): Uint8Array {
  return concatBytes(countOf(questions), ...questions.map(encodeQuestion))
}

/** @throws ProtocolFault class C on a wrong length or count. */
export function decodeOutcomeQuestions(body: Uint8Array): OutcomeQuestion[] {
  assertBodyLength(body, bodyLengthFromCounts(FRAME_TYPES.OUTCOME_QUESTION, body))
  const reader = new BodyReader(body)
  return Array.from({ length: countIn(reader) }, () => readQuestion(reader))
}

/** Body of 0x38. */
export function encodeOutcomeAnswers(answers: readonly OutcomeAnswer[]): Uint8Array {
  return concatBytes(
    countOf(answers),
    ...answers.map((answer) => concatBytes(encodeQuestion(answer), u8(answer.verdict === 'COMMITTED' ? 1 : 2))),
  )
}

/** @throws ProtocolFault class C on a wrong length, count or verdict. */
export function decodeOutcomeAnswers(body: Uint8Array): OutcomeAnswer[] {
  assertBodyLength(body, bodyLengthFromCounts(FRAME_TYPES.OUTCOME_ANSWER, body))
  const reader = new BodyReader(body)
  return Array.from({ length: countIn(reader) }, () => {
    const question = readQuestion(reader)
    const verdict = reader.u8()
    if (verdict !== 1 && verdict !== 2) throw violation('outcome verdict')
    return { ...question, verdict: verdict === 1 ? 'COMMITTED' : 'ABORTED' }
  })
}

function encodeQuestion(question: OutcomeQuestion): Uint8Array {
  return concatBytes(question.walletId, u32(question.wEpoch), question.sid)
}

function readQuestion(reader: BodyReader): OutcomeQuestion {
  return { walletId: reader.take(16).slice(), wEpoch: reader.u32(), sid: reader.take(32).slice() }
}

function countOf(items: readonly unknown[]): Uint8Array {
  if (items.length === 0 || items.length > MAX_REFRESH_WALLETS) throw new RangeError('outcome count')
  return u16(items.length)
}

function countIn(reader: BodyReader): number {
  const count = reader.u16()
  if (count === 0 || count > MAX_REFRESH_WALLETS) throw violation('outcome count')
  return count
}

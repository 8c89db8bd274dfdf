/**
 * Every step takes its state once: a state that was advanced, failed or wiped answers nothing a second time, so one
 * received message is never answered twice with different randomness (docs/protocol.md §17).
 */
import { benign } from './fault.ts'

export type OneShot = { spent: boolean }

/** Marks a state as used. @throws ProtocolFault class A (session) when it was used before. */
export function spend(state: OneShot): void {
  if (state.spent) throw benign('session', 'the session has moved on')
  state.spent = true
}

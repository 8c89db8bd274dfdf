/**
 * Every step takes its state once: a state that was advanced, failed or wiped answers nothing a second time, so
 * one received message is never answered twice with different randomness (docs/protocol.md §17).
 */
import { benign } from './fault.ts'

export type OneShot = { spent: boolean }

/** Something that overwrites its secrets. */
export type Wipeable = { readonly wipe: () => void }

/** Marks a state as used. @throws ProtocolFault class A (session) when it was used before. */
export function spend(state: OneShot): void {
  if (state.spent) throw benign('session', 'the session has moved on')
  state.spent = true
}

/**
 * Runs a step; when it throws, every secret listed (also those that the step added to the list) is overwritten.
 */
export function guard<T>(secrets: readonly Wipeable[], step: () => T): T {
  try {
    return step()
  } catch (error) {
    for (const secret of secrets) secret.wipe()
    throw error
  }
}

export function wipeable(bytes: Uint8Array): Wipeable {
  return { wipe: () => bytes.fill(0) }
}

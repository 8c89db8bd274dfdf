import { expect } from 'vitest'
import {
  type FaultClass,
  type FaultCode,
  type FaultConsequence,
  ProtocolFault,
} from '../../src/engine/dkls23/fault.ts'

/** Runs something that must fail with a protocol fault, and gives the fault. */
export function faultOf(run: () => unknown): ProtocolFault {
  let thrown: unknown
  try {
    run()
  } catch (error) {
    thrown = error
  }
  expect(thrown).toBeInstanceOf(ProtocolFault)
  return thrown as ProtocolFault
}

/** Asserts class, code and consequence of the fault that `run` ends in. */
export function expectFault(
  run: () => unknown,
  expected: { faultClass: FaultClass; code?: FaultCode; consequence?: FaultConsequence },
): void {
  const fault = faultOf(run)
  expect(fault.faultClass, fault.message).toBe(expected.faultClass)
  if (expected.code !== undefined) expect(fault.codeName).toBe(expected.code)
  if (expected.consequence !== undefined) expect(fault.consequence).toBe(expected.consequence)
}

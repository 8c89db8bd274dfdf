/** A vault of a delegate, and calls of its operator. */
import { randomBytes } from 'node:crypto'
import type { Call } from '../../src/domain/call.ts'
import type { ApiKeyId } from '../../src/domain/ids.ts'
import type { DaemonVault } from '../../src/vault/daemon-vault.ts'
import { callerOf, callOf } from '../signing/call.ts'
import { makeVault, NOW } from '../vault/fixture.ts'

export type DelegateScene = {
  readonly vault: DaemonVault
  readonly clock: { readonly nowMs: () => number; readonly monotonicNs: () => bigint }
  readonly call: (rest?: Partial<Call>) => Call
}

export const openDelegateScene = async (): Promise<DelegateScene> => {
  const vault = await makeVault()
  const caller = callerOf({ keyId: `key_${randomBytes(8).toString('hex')}` as ApiKeyId }, 'admin')
  return {
    vault,
    clock: { nowMs: () => NOW, monotonicNs: () => process.hrtime.bigint() },
    call: (rest) => callOf(caller, 'AdminService/CreateDelegateKey', rest),
  }
}

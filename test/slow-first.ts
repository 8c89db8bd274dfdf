/** The order of test files: what takes longest first, so that it does not hold the end of a run. */
import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** By what they take on two quiet cores. A machine that has run them before knows better, and of all the others too. */
const SLOW = [
  'bench/harness.test.ts',
  'e2e/start-refusals.test.ts',
  'e2e/backup.test.ts',
  'e2e/remote-cosigner.test.ts',
  'e2e/threads.test.ts',
  'e2e/refresh.test.ts',
  'e2e/hosts-crash.test.ts',
  'e2e/restore-kill-points.test.ts',
  'e2e/fail-closed.test.ts',
  'commands/daemon.test.ts',
  'e2e/vault-key.test.ts',
  'e2e/idempotency.test.ts',
  'e2e/spending.test.ts',
  'e2e/freeze.test.ts',
  'e2e/refresh-kill.test.ts',
  'e2e/lifecycle.test.ts',
  'engine/base-ot-distribution.test.ts',
  'e2e/grants.test.ts',
  'e2e/sending.test.ts',
  'party/crypto-workers.test.ts',
  'session/session-keys.test.ts',
  'vault/kill-points.test.ts',
  'e2e/ed25519.test.ts',
  'commands/engine-peer.test.ts',
  'e2e/canary.test.ts',
  'e2e/sidecar.test.ts',
]

const rankOf = ({ moduleId }: TestSpecification): number => {
  const at = SLOW.findIndex((name) => moduleId.endsWith(`/test/${name}`))
  return at < 0 ? SLOW.length : at
}

export class SlowFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files)
    const isKnown = files.every((file) => this.ctx.cache.getTestSpecificationResult(file) !== undefined)
    return isKnown ? sorted : sorted.toSorted((a, b) => rankOf(a) - rankOf(b))
  }
}

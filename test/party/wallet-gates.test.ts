import { describe, expect, it, vi } from 'vitest'
import { WalletGates } from '../../src/party/wallet-gates.ts'

const A = new Uint8Array(16).fill(1)
const B = new Uint8Array(16).fill(2)
const never = new AbortController().signal
const turn = (): Promise<void> => new Promise((wake) => setImmediate(wake))

describe('a gate', () => {
  it('lets a change begin when what is under way has ended, of that wallet alone', async () => {
    const gates = new WalletGates()
    const [slow, other] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const running = gates.during(A, () => slow.promise)
    void gates.during(B, () => other.promise)
    let begun = false
    const change = gates.hold(A, never, async () => void (begun = true))
    await turn()
    expect([begun, gates.isHeld(A), gates.isHeld(B)]).toEqual([false, true, false])
    slow.resolve()
    await Promise.all([running, change])
    expect([begun, gates.isHeld(A)]).toEqual([true, false])
    other.resolve()
  })

  it('keeps what comes waiting until the change has ended, also one that failed, and not beyond its deadline', async () => {
    const gates = new WalletGates()
    const end = Promise.withResolvers<void>()
    const change = gates.hold(A, never, () => end.promise)
    let passed = false
    const waiting = gates.pass(A, never).then(() => (passed = true))
    await expect(gates.pass(A, AbortSignal.timeout(5))).rejects.toMatchObject({ reason: 'DEADLINE_EXCEEDED' })
    await expect(gates.pass(A, AbortSignal.abort())).rejects.toMatchObject({ reason: 'DEADLINE_EXCEEDED' })
    await gates.pass(B, never)
    expect(passed).toBe(false)
    end.reject(new Error('failed'))
    await expect(change).rejects.toThrow('failed')
    await waiting
    expect(gates.isHeld(A)).toBe(false)
  })

  it('makes one change at a time, however many wait', async () => {
    const gates = new WalletGates()
    let inside = 0
    const seen: number[] = []
    const change = async (): Promise<void> => {
      inside += 1
      seen.push(inside)
      await turn()
      inside -= 1
    }
    await Promise.all(Array.from({ length: 8 }, () => gates.hold(A, never, change)))
    expect(seen).toEqual(Array.from({ length: 8 }, () => 1))
  })

  it('gives a change up when what is under way does not end, and opens again', async () => {
    vi.useFakeTimers()
    try {
      const gates = new WalletGates()
      const stuck = Promise.withResolvers<void>()
      void gates.during(A, () => stuck.promise)
      const change = gates.hold(A, never, async () => {
        throw new Error('began')
      })
      const refused = expect(change).rejects.toMatchObject({ reason: 'OVERLOADED' })
      await vi.advanceTimersByTimeAsync(2_001)
      await refused
      expect(gates.isHeld(A)).toBe(false)
      stuck.resolve()
    } finally {
      vi.useRealTimers()
    }
  })
})

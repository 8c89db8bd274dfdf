/** Time as an argument: wall clock for what people see and what expires, monotonic for durations. */
export type Clock = {
  /** Milliseconds since the Unix epoch. */
  readonly nowMs: () => number
  /** Nanoseconds from an arbitrary start; never runs backwards. */
  readonly monotonicNs: () => bigint
}

/** What a command may do to the outside: print results, print messages, and stop when asked. */
export type Terminal = {
  /** Results, for people or (with --json) for programs. */
  readonly print: (text: string) => void
  /** Warnings and progress: stderr, never part of a result. */
  readonly note: (text: string) => void
  /** Aborted by SIGINT or SIGTERM; asking for it takes these signals over. */
  readonly stop: AbortSignal
  readonly isInteractive: boolean
}

/** A refusal by the command itself: one line, exit code 1. */
export class CommandRefusal extends Error {}

/** Wrong arguments that the parser could not see: one line, exit code 2. */
export class UsageRefusal extends Error {}

/** Runs named checks one after the other, prints a line for each and counts them. */
export type Checks = {
  readonly check: (name: string, run: () => Promise<void> | void) => Promise<boolean>
  readonly passed: () => number
  readonly failed: () => readonly string[]
}

export const createChecks = (print: (line: string) => unknown): Checks => {
  let passed = 0
  const failed: string[] = []
  return {
    check: async (name, run) => {
      try {
        await run()
        passed += 1
        print(`ok    ${name}`)
        return true
      } catch (error) {
        failed.push(name)
        print(`FAIL  ${name}\n${indent(error instanceof Error ? error.message : String(error))}`)
        return false
      }
    },
    passed: () => passed,
    failed: () => failed,
  }
}

const indent = (text: string): string =>
  text
    .trimEnd()
    .split('\n')
    .map((line) => `        ${line}`)
    .join('\n')

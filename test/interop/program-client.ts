import type { ClientReport, InteropClient } from './client-report.ts'
import { runToSuccess } from './run-program.ts'

/** A client in another language: the task goes in on stdin, the report comes out on stdout. */
export const programClient = (name: string, target: string, command: readonly string[]): InteropClient => ({
  name,
  target,
  run: async (task) => {
    const [file = '', ...args] = command
    return JSON.parse(await runToSuccess(file, args, { input: JSON.stringify(task) })) as ClientReport
  },
})

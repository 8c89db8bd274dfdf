import { spawn } from 'node:child_process'

export type ProgramOptions = {
  readonly input?: string
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
  readonly timeoutMs?: number
}

export type ProgramResult = { readonly code: number | null; readonly stdout: string; readonly stderr: string }

/** Runs a program to its end. Rejects only when it cannot be started or outlives `timeoutMs` (default 60 000). */
export const runProgram = (
  file: string,
  args: readonly string[],
  options: ProgramOptions = {},
): Promise<ProgramResult> =>
  new Promise((done, failed) => {
    const { timeoutMs = 60_000 } = options
    const child = spawn(file, args, {
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    let stdout = ''
    let stderr = ''
    const timer = setTimeout(() => {
      child.kill('SIGKILL')
      failed(new Error(`${file} did not end within ${timeoutMs} ms\n${stdout}${stderr}`))
    }, timeoutMs)
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()))
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
    child.once('error', (error) => {
      clearTimeout(timer)
      failed(error)
    })
    child.once('close', (code) => {
      clearTimeout(timer)
      done({ code, stdout, stderr })
    })
    child.stdin.on('error', () => undefined)
    child.stdin.end(options.input ?? '')
  })

/** As runProgram, and rejects with what it printed when it does not exit with 0. */
export const runToSuccess = async (
  file: string,
  args: readonly string[],
  options: ProgramOptions = {},
): Promise<string> => {
  const { code, stdout, stderr } = await runProgram(file, args, options)
  if (code !== 0) throw new Error(`${file} ${args[0] ?? ''} ended with ${code}\n${stdout}${stderr}`)
  return stdout
}

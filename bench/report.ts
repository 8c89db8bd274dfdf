/** One result: a JSON object on a line of its own. */
export const report = (name: string, value: number, unit: string): void => {
  const rounded = Number(value.toPrecision(4))
  process.stdout.write(`${JSON.stringify({ name, value: rounded, unit })}\n`)
}

export const percentile = (values: readonly number[], share: number): number => {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}

export const median = (values: readonly number[]): number => percentile(values, 0.5)

export const largest = (values: readonly number[]): number => values.reduce((max, value) => Math.max(max, value), 0)

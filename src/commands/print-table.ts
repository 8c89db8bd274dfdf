import { withoutControls } from '../observe/logger.ts'

/** Left-aligned columns under their headings. Text of others (labels, notes) cannot move the cursor. */
export const formatTable = (headings: readonly string[], rows: readonly (readonly string[])[]): string => {
  const cells = [headings, ...rows.map((row) => row.map((cell) => withoutControls(cell)))]
  const widths = headings.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)))
  return cells
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

/** `name  value` lines; an empty value leaves its line out. */
export const formatFacts = (facts: readonly (readonly [string, string | undefined])[]): string => {
  const shown = facts.filter(([, value]) => value !== undefined && value !== '')
  const width = Math.max(0, ...shown.map(([name]) => name.length))
  return shown.map(([name, value]) => `${name.padEnd(width)}  ${withoutControls(value ?? '')}`).join('\n')
}

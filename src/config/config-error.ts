/** A setting that is refused: where it was given, and why. Ends the command with exit code 2. */
export class ConfigError extends Error {
  readonly where: string

  constructor(where: string, why: string) {
    super(`${where}: ${why}`)
    this.name = 'ConfigError'
    this.where = where
  }
}

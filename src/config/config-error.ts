/** A setting that is refused: where it was given, and why. Ends the command with exit code 2. */
export class ConfigError extends Error {
  readonly where: string

  constructor(where: string, why: string) {
    super(`${where}: ${why}`)
    this.name = 'ConfigError'
    this.where = where
  }
}

/** The settings are fine, but no daemon serves where they point. Ends the command with exit code 1. */
export class NoDaemonError extends Error {
  constructor(dataDir: string) {
    super(`no daemon serves from ${dataDir}: start one, or give --endpoint`)
    this.name = 'NoDaemonError'
  }
}

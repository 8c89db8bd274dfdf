/** A profile that makes no sense: it is not offered. Never the fault of a request. */
export class ProfileFault extends Error {
  constructor(why: string) {
    super(why)
    this.name = 'ProfileFault'
  }
}

/** An operator met a value that it does not take: a context that lacks something, or a value the shapes let through. */
export class OperatorRefused extends Error {
  readonly why: string

  constructor(operator: string, why: string) {
    super(`${operator}: ${why}`)
    this.name = 'OperatorRefused'
    this.why = `${operator}: ${why}`
  }
}

import type { Expression } from './expression.ts'
import type { Operator } from './operators.ts'
import { OPERATORS } from './operators.ts'
import { OperatorRefused, ProfileFault } from './profile-fault.ts'
import type { Value } from './value.ts'
import { takeList } from './values.ts'

/** The named inputs of an expression. A run has one, and nothing else can be reached from a profile. */
export type Scope = Record<string, Value>
export type Evaluate = (scope: Scope) => Value

const MAX_NODES = 2_000
const MAX_DEPTH = 32
const MAX_ITEMS = 256
const NAME = /^[A-Za-z][A-Za-z0-9_]*$/

/** What a compilation knows: the names in scope, what lies below some of them, and how much it may still take. */
export type Names = {
  readonly known: ReadonlySet<string>
  /** Root → its members, where they are known beforehand. */
  readonly members?: ReadonlyMap<string, ReadonlySet<string>>
}

class Compiler {
  readonly #names: Names
  #nodes = 0

  constructor(names: Names) {
    this.#names = names
  }

  compile(expression: Expression, bound: ReadonlySet<string>, depth: number): Evaluate {
    this.#nodes += 1
    if (this.#nodes > MAX_NODES) throw new ProfileFault('an expression is too large')
    if (depth > MAX_DEPTH) throw new ProfileFault('an expression is nested too deep')
    if (typeof expression === 'string' && expression.startsWith('$')) return this.#path(expression, bound)
    if (typeof expression !== 'object' || expression === null) return () => expression
    if (!Array.isArray(expression)) return this.#object(expression as Record<string, Expression>, bound, depth)
    const list = expression as readonly Expression[]
    const [head] = list
    return typeof head === 'string' && head.startsWith('@')
      ? this.#operator(head.slice(1), list.slice(1), bound, depth)
      : this.#list(list, bound, depth)
  }

  #path(text: string, bound: ReadonlySet<string>): Evaluate {
    const [root = '', ...rest] = text.slice(1).split('.')
    const known = bound.has(root) || this.#names.known.has(root)
    if (!known || !rest.every((name) => NAME.test(name))) throw new ProfileFault(`${text} names nothing`)
    const members = bound.has(root) ? undefined : this.#names.members?.get(root)
    const [below] = rest
    if (members !== undefined && below !== undefined && !members.has(below))
      throw new ProfileFault(`${text} names nothing`)
    const [first, second, ...others] = rest
    if (first === undefined) return (scope) => scope[root]
    if (second === undefined) return (scope) => memberOf(scope[root], first)
    if (others.length === 0) return (scope) => memberOf(memberOf(scope[root], first), second)
    return (scope) => rest.reduce<Value>(memberOf, scope[root])
  }

  #list(list: readonly Expression[], bound: ReadonlySet<string>, depth: number): Evaluate {
    const items = list.map((item) => this.compile(item, bound, depth + 1))
    return (scope) => items.map((item) => item(scope))
  }

  #object(object: Record<string, Expression>, bound: ReadonlySet<string>, depth: number): Evaluate {
    const members = Object.entries(object).map(([name, value]) => {
      if (name in Object.prototype) throw new ProfileFault(`a member named ${name}`)
      return { name, evaluate: this.compile(value, bound, depth + 1) }
    })
    return (scope) => {
      const result: Record<string, Value> = {}
      for (const { name, evaluate } of members) {
        const value = evaluate(scope)
        if (value !== undefined) result[name] = value
      }
      return result
    }
  }

  #operator(name: string, rest: readonly Expression[], bound: ReadonlySet<string>, depth: number): Evaluate {
    if (name === 'when') return this.#when(rest, bound, depth)
    if (name === 'each') return this.#each(rest, bound, depth)
    const operator = OPERATORS.get(name)
    if (operator === undefined) throw new ProfileFault(`there is no operator @${name}`)
    return this.#apply(name, operator, rest, bound, depth)
  }

  #apply(
    name: string,
    operator: Operator,
    rest: readonly Expression[],
    bound: ReadonlySet<string>,
    depth: number,
  ): Evaluate {
    const [min, max] = operator.arity
    const given = rest.length - operator.literals
    if (given < min || given > max) throw new ProfileFault(`@${name} takes another number of arguments`)
    const apply = operator.compile(rest.slice(0, operator.literals))
    const values = rest.slice(operator.literals).map((value) => this.compile(value, bound, depth + 1))
    const [first, second] = values
    if (values.length === 1 && first !== undefined) return (scope) => apply([first(scope)])
    if (values.length === 2 && first !== undefined && second !== undefined)
      return (scope) => apply([first(scope), second(scope)])
    return (scope) => apply(values.map((value) => value(scope)))
  }

  /** `['@when', condition, then, else?]`: the condition is true or false, or a value that is there or not. */
  #when(rest: readonly Expression[], bound: ReadonlySet<string>, depth: number): Evaluate {
    const [condition, then, otherwise] = rest.map((value) => this.compile(value, bound, depth + 1))
    if (condition === undefined || then === undefined || rest.length > 3) throw new ProfileFault('@when takes two or three')
    return (scope) => {
      const holds = condition(scope)
      return holds !== false && holds !== undefined ? then(scope) : otherwise?.(scope)
    }
  }

  /** `['@each', name, list, item]`: the item for every member of a list from outside, as `$name`. */
  #each(rest: readonly Expression[], bound: ReadonlySet<string>, depth: number): Evaluate {
    const [name, list, item] = rest
    if (typeof name !== 'string' || !NAME.test(name) || list === undefined || item === undefined || rest.length !== 3)
      throw new ProfileFault('@each takes a name, a list and an item')
    if (bound.has(name) || this.#names.known.has(name)) throw new ProfileFault(`${name} is named twice`)
    const items = this.compile(list, bound, depth + 1)
    const evaluate = this.compile(item, new Set([...bound, name]), depth + 1)
    return (scope) => {
      const values = takeList('each', items(scope))
      if (values.length > MAX_ITEMS) throw new OperatorRefused('each', `takes ${MAX_ITEMS} items at most`)
      return values.map((value) => {
        scope[name] = value
        return evaluate(scope)
      })
    }
  }
}

const memberOf = (value: Value, name: string): Value => {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || value instanceof Uint8Array) return undefined
  const object = value as { readonly [member: string]: Value }
  return Object.hasOwn(object, name) ? object[name] : undefined
}

/**
 * An expression as a function of its scope. Throws `ProfileFault` for operators and names that do not exist, wrong
 * numbers of arguments, and expressions too large or too deep: such a profile is not offered.
 */
export const compileExpression = (expression: Expression, names: Names): Evaluate =>
  new Compiler(names).compile(expression, new Set(), 0)

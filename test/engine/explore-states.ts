export type Model<State> = {
  readonly start: State
  /** Every step that anybody can take. */
  readonly stepsFrom: (state: State) => Iterable<State>
  /** The same for states that are the same. */
  readonly keyOf: (state: State) => string
  /** Nothing waits for anything. */
  readonly isSettled: (state: State) => boolean
}

/** Every state that can be reached, and from how many of them no way leads to one that is settled. */
export const exploreStates = <State>({ start, stepsFrom, keyOf, isSettled }: Model<State>) => {
  const states = new Map<string, State>([[keyOf(start), start]])
  const before = new Map<string, string[]>()
  const open = [start]
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const from = keyOf(next)
    for (const state of stepsFrom(next)) {
      const key = keyOf(state)
      if (key === from) continue
      const earlier = before.get(key)
      if (earlier === undefined) before.set(key, [from])
      else earlier.push(from)
      if (states.has(key)) continue
      states.set(key, state)
      open.push(state)
    }
  }
  const good = [...states].flatMap(([key, state]) => (isSettled(state) ? [key] : []))
  const reaches = new Set(good)
  for (let key = good.pop(); key !== undefined; key = good.pop()) {
    for (const earlier of before.get(key) ?? []) {
      if (reaches.has(earlier)) continue
      reaches.add(earlier)
      good.push(earlier)
    }
  }
  return { all: [...states.values()], stuck: states.size - reaches.size }
}

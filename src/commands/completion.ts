/** Static completion scripts, made from the command tree itself so that they cannot name what is not there. */
import type { Command } from 'commander'

type Node = {
  readonly path: readonly string[]
  readonly commands: readonly Command[]
  readonly flags: readonly string[]
}

const nodesOf = (command: Command, path: readonly string[] = []): Node[] => {
  const flags = command.options
    .flatMap(({ short, long }) => [long, short])
    .filter((flag) => flag !== undefined && flag !== null)
  const commands = command.commands.filter((inner) => inner.name() !== 'help')
  const own = { path, commands, flags: [...flags, '--help'] }
  return [own, ...commands.flatMap((inner) => nodesOf(inner, [...path, inner.name()]))]
}

const wordsOf = ({ commands, flags }: Node): string =>
  [...commands.map((command) => command.name()), ...flags].join(' ')

const bashScript = (root: Command): string => {
  const cases = nodesOf(root).map((node) => `    "${node.path.join('/')}") words="${wordsOf(node)}" ;;`)
  return `# bash completion for countersign; load with: source <(countersign completion bash)
_countersign() {
  local current="\${COMP_WORDS[COMP_CWORD]}" path="" word words=""
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$word" in -*) continue ;; esac
    case " ${nodesOf(root)
      .filter(({ path }) => path.length > 0)
      .map(({ path }) => path.join('/'))
      .join(' ')} " in *" \${path:+$path/}$word "*) path="\${path:+$path/}$word" ;; esac
  done
  case "$path" in
${cases.join('\n')}
  esac
  case "\${COMP_WORDS[COMP_CWORD-1]}" in
    --*file|--*-backup|--*-identity|--config|--socket|--data-dir) COMPREPLY=($(compgen -f -- "$current")); return ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -F _countersign countersign
`
}

const zshScript = (root: Command): string => {
  const cases = nodesOf(root).map((node) => `    "${node.path.join('/')}") options=(${wordsOf(node)}) ;;`)
  const paths = nodesOf(root)
    .filter(({ path }) => path.length > 0)
    .map(({ path }) => path.join('/'))
  return `#compdef countersign
# zsh completion for countersign; load with: source <(countersign completion zsh)
_countersign() {
  local place="" word
  local -a options known
  known=(${paths.join(' ')})
  for word in "\${(@)words[2,CURRENT-1]}"; do
    [[ "$word" == -* ]] && continue
    (( \${known[(Ie)\${place:+$place/}$word]} )) && place="\${place:+$place/}$word"
  done
  case "$place" in
${cases.join('\n')}
  esac
  case "\${words[CURRENT-1]}" in
    --*file|--*-backup|--*-identity|--config|--socket|--data-dir) _files; return ;;
  esac
  compadd -- $options
}
compdef _countersign countersign
`
}

const quoted = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`

const fishScript = (root: Command): string => {
  const lines = nodesOf(root).flatMap((node) => {
    const inner = node.commands.map((command) => command.name()).join(' ')
    const within = node.path.map((name) => `__fish_seen_subcommand_from ${name}`)
    const condition = [
      ...(node.path.length === 0 ? ['__fish_use_subcommand'] : within),
      ...(inner === '' || node.path.length === 0 ? [] : [`not __fish_seen_subcommand_from ${inner}`]),
    ].join('; and ')
    const commands = node.commands.map((command) => {
      const what = quoted(command.summary() || command.description())
      return `complete -c countersign -n "${condition}" -a ${command.name()} -d ${what}`
    })
    const flags = node.flags
      .filter((flag) => flag.startsWith('--') && node.path.length > 0)
      .map((flag) => `complete -c countersign -n "${condition}" -l ${flag.slice(2)}`)
    return [...commands, ...flags]
  })
  return `# fish completion for countersign; load with: countersign completion fish | source
complete -c countersign -f
${lines.join('\n')}
`
}

export const COMPLETION_SHELLS = ['bash', 'zsh', 'fish'] as const
export type CompletionShell = (typeof COMPLETION_SHELLS)[number]

export const completionScript = (root: Command, shell: CompletionShell): string =>
  ({ bash: bashScript, zsh: zshScript, fish: fishScript })[shell](root)

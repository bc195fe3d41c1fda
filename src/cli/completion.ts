import { usageFailure } from './failure.ts';
import { didYouMean } from '#core/suggest.ts';

/*
 * The scripts know nothing: they hand the words to `chancery __complete`, which prints a candidate and its description
 * per line, so that what is offered is always what this version takes.
 */

const bash = `# Completion of chancery for bash. Load it with: source <(chancery completion bash)
_chancery() {
  local line="\${COMP_LINE:0:COMP_POINT}" current prefix='' word
  current="\${line##*[[:space:]]}"
  # readline replaces only what follows the last word break, and = and : are such.
  if [[ $current == *[=:]* && $COMP_WORDBREAKS == *[=:]* ]]; then prefix="\${current%"\${current##*[=:]}"}"; fi
  COMPREPLY=()
  while IFS=$'\\t' read -r word _; do
    word="\${word#"$prefix"}"
    if [[ $word == *[[:space:]\\'\\"\\$\\&\\;\\|\\<\\>\\(\\)\\*\\?\\!\\#\\\`\\\\]* ]]; then printf -v word %q "$word"; fi
    COMPREPLY+=("$word")
  done < <("\${COMP_WORDS[0]}" __complete bash "$line" 2>/dev/null)
  if [[ \${#COMPREPLY[@]} -eq 1 && \${COMPREPLY[0]} == *[=/] ]]; then compopt -o nospace; fi
}
complete -F _chancery chancery
`;

const zsh = `#compdef chancery
# Completion of chancery for zsh. Load it with: source <(chancery completion zsh), after compinit.
_chancery() {
  local -a done_words open_words
  local line word text entry
  for line in "\${(@f)$("\${(Q)words[1]}" __complete zsh "\${(@Q)words[1,CURRENT]}" 2>/dev/null)}"; do
    [[ -n $line ]] || continue
    word="\${line%%$'\\t'*}"
    text="\${line#*$'\\t'}"
    entry="\${word//:/\\\\:}\${text:+:$text}"
    if [[ $word == *[=/] ]]; then open_words+=("$entry"); else done_words+=("$entry"); fi
  done
  _describe -t chancery chancery done_words -- open_words -S ''
}
compdef _chancery chancery
`;

const fish = `# Completion of chancery for fish. Load it with: chancery completion fish | source
function __chancery_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    # Quoted, so that nothing typed yet is an empty word and not none.
    $words[1] __complete fish $words "$current" 2>/dev/null
end
complete -c chancery -f -k -a '(__chancery_complete)'
`;

const scripts: Readonly<Record<string, string>> = { bash, zsh, fish };

const usage = `chancery completion SHELL: print a completion script

  bash    source <(chancery completion bash)
  zsh     source <(chancery completion zsh)
  fish    chancery completion fish | source

Put the line into the start-up file of the shell. Areas, commands, flags and choices are completed; names of
authorities, roles and other things as well, when the server answers within a second.
`;

/** The script for a shell, or the help on it. Throws a usage failure for an unknown shell. */
export function completionScript(shell: string | undefined, help: boolean): string {
  if (help || shell === undefined) return usage;
  const script = Object.hasOwn(scripts, shell) ? scripts[shell] : undefined;
  if (script !== undefined) return script;
  throw usageFailure(`there is no completion for "${shell.slice(0, 60)}"`, {
    hint: didYouMean(shell, Object.keys(scripts)) ?? 'there is one for bash, zsh and fish',
  });
}

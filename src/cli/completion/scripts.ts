/** The shell functions: they ask `pbsfs completion answer` and do as its first line says. */

const BASH = `# bash completion of pbsfs. In ~/.bashrc: eval "$(pbsfs completion bash)"
_pbsfs() {
  local IFS=$'\\n' answer
  answer=($("\${COMP_WORDS[0]}" completion answer bash "$COMP_WORDBREAKS" "\${COMP_LINE:0:COMP_POINT}" 2>/dev/null))
  COMPREPLY=("\${answer[@]:1}")
  case "\${answer[0]}" in
    files) compopt -o default ;;
    folders) compopt -o dirnames ;;
    open) compopt -o nospace ;;
  esac
}
complete -F _pbsfs pbsfs
`

const ZSH = `#compdef pbsfs
# zsh completion of pbsfs. In ~/.zshrc, behind compinit: eval "$(pbsfs completion zsh)"
_pbsfs() {
  local -a answer whole open shown
  local one
  answer=("\${(@f)$("\${(Q)words[1]}" completion answer zsh "\${(@Q)words[1,CURRENT-1]}" "\${(Q)PREFIX}" 2>/dev/null)}")
  case $answer[1] in
    files) _files; return ;;
    folders) _files -/; return ;;
  esac
  for one in "\${(@)answer[2,-1]}"; do
    [[ -n $one ]] || continue
    if [[ \${one%%$'\\t'*} == *[/:=] ]]; then
      open+=("\${one%%$'\\t'*}")
    else
      whole+=("\${one%%$'\\t'*}")
      shown+=("\${one%%$'\\t'*}\${\${one#*$'\\t'}:+  -- \${one#*$'\\t'}}")
    fi
  done
  (( $#open )) && compadd -S '' -- "\${open[@]}"
  if [[ \${shown[1]-} == *'  -- '* ]]; then
    compadd -l -d shown -- "\${whole[@]}"
  else
    (( $#whole )) && compadd -- "\${whole[@]}"
  fi
}
if [[ $funcstack[1] == _pbsfs ]]; then _pbsfs "$@"; else compdef _pbsfs pbsfs; fi
`

export const SHELLS = { bash: BASH, zsh: ZSH } as const

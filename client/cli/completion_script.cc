// CompletionScript.
#include "client/cli/completion.h"

namespace gatehouse::cli {
namespace {

constexpr char kBash[] = R"(_gatehousectl() {
  local line files="" word words=() rest=$COMP_LINE
  COMPREPLY=()
  # bash cuts at colons and equals signs too: what no space is before belongs to the word before.
  for word in "${COMP_WORDS[@]:0:COMP_CWORD+1}"; do
    if [[ ${#words[@]} -gt 0 && $rest != [[:space:]]* ]]; then words[-1]+=$word; else words+=("$word"); fi
    rest=${rest#*"$word"}
  done
  while IFS= read -r line; do
    if [ "$line" = ":files" ]; then files=1; else COMPREPLY+=("${line%%$'\t'*}"); fi
  done < <(gatehousectl __complete "${words[@]:1}" 2>/dev/null)
  if [ -n "$files" ]; then
    compopt -o filenames 2>/dev/null
    while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "${COMP_WORDS[COMP_CWORD]}")
  fi
}
complete -F _gatehousectl gatehousectl
)";

constexpr char kZsh[] = R"(#compdef gatehousectl
_gatehousectl() {
  local line files=""
  local -a offered
  while IFS= read -r line; do
    if [[ $line == ":files" ]]; then
      files=1
    else
      offered+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
    fi
  done < <(gatehousectl __complete "${(@)words[2,CURRENT]}" 2>/dev/null)
  (( $#offered )) && _describe gatehousectl offered
  [[ -n $files ]] && _files
}
if [[ ${funcstack[1]} == _gatehousectl ]]; then _gatehousectl "$@"; else compdef _gatehousectl gatehousectl; fi
)";

constexpr char kFish[] = R"(function __gatehousectl_complete
  set -l words (commandline -opc)
  set -l typed (commandline -ct)
  for line in (gatehousectl __complete $words[2..-1] "$typed" 2>/dev/null)
    if test "$line" = ":files"
      __fish_complete_path "$typed"
    else
      echo $line
    end
  end
end
complete -c gatehousectl -f -a '(__gatehousectl_complete)'
)";

}  // namespace

std::string CompletionScript(const std::string& shell) { return shell == "zsh" ? kZsh : shell == "fish" ? kFish : kBash; }

}  // namespace gatehouse::cli

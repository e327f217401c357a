"""The shells' own halves of the completion: each asks trainkit for candidates and hands them over."""

BASH = r"""# bash completion for trainkit, also as `python -m trainkit`. To have it in every shell, put into ~/.bashrc:
#     eval "$(trainkit completion bash)"

_trainkit_ask() {
    local line
    COMPREPLY=()
    while IFS= read -r line; do
        COMPREPLY+=("$line")
    done < <("$@" completion --candidates bash "$COMP_LINE" "$COMP_POINT" "$COMP_WORDBREAKS" 2>/dev/null)
    if ((${#COMPREPLY[@]})) && [[ $(type -t compopt) == builtin ]]; then
        compopt -o nospace
    fi
}

_trainkit() {
    local program=$1
    _trainkit_ask "${program/#\~\//$HOME/}"
}

_trainkit_python() {
    local program=$1 i
    for ((i = 1; i + 1 < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
            -m)
                if [[ ${COMP_WORDS[i + 1]} == trainkit ]]; then
                    _trainkit_ask "${program/#\~\//$HOME/}" -m trainkit
                    return
                fi
                break
                ;;
            -W | -X) ((i++)) ;;
            -*) ;;
            *) break ;;
        esac
    done
    if [[ -z ${_trainkit_other-} && $(type -t _completion_loader) == function ]]; then
        _completion_loader "${program##*/}"
        _trainkit_take_python
    fi
    COMPREPLY=()
    if [[ -n ${_trainkit_other-} ]]; then
        "$_trainkit_other" "$@"
    fi
}

_trainkit_take_python() {
    local found name
    found=$(complete -p python 2>/dev/null)
    if [[ $found =~ \ -F\ ([^ ]+) && ${BASH_REMATCH[1]} != _trainkit_python ]]; then
        _trainkit_other=${BASH_REMATCH[1]}
    fi
    for name in python python3 python3.11 python3.12 python3.13; do
        complete -o bashdefault -o default -F _trainkit_python "$name"
    done
}

complete -o nospace -F _trainkit trainkit
_trainkit_take_python
"""

ZSH = r"""#compdef trainkit
# zsh completion for trainkit, also as `python -m trainkit`. To have it in every shell, put into ~/.zshrc,
# after compinit:
#     eval "$(trainkit completion zsh)"

_trainkit_ask() {  # FIRST, the place of the first word behind the program, and the program
    local first=$1 line kind text doc
    local -a ending going ask
    shift
    ask=("$@" completion --candidates zsh)
    local -a before=("${(@)words[first,CURRENT-1]}") behind=("${(@)words[CURRENT+1,-1]}")
    while IFS= read -r line; do
        kind=${line%%$'\t'*}
        line=${line#*$'\t'}
        text=${line%%$'\t'*}
        doc=${line#*$'\t'}
        text=${text//\\/\\\\}
        text="${text//:/\\:}${doc:+:$doc}"
        if [[ $kind == e ]]; then
            ending+=("$text")
        else
            going+=("$text")
        fi
    done < <("${ask[@]}" $(($#before + 1)) trainkit "${before[@]}" "$PREFIX" "${behind[@]}" 2>/dev/null)
    (($#ending + $#going)) || return 1
    (($#going)) && _describe -V trainkit going -S ''
    (($#ending)) && _describe -V trainkit ending
    return 0
}

_trainkit() {
    local program="${(Q)words[1]}"
    _trainkit_ask 2 "${program/#\~\//$HOME/}"
}

_trainkit_python() {
    local program="${(Q)words[1]}"
    integer i
    for ((i = 2; i + 1 < CURRENT; i++)); do
        case ${words[i]} in
            -m)
                if [[ ${words[i + 1]} == trainkit ]]; then
                    _trainkit_ask $((i + 2)) "${program/#\~\//$HOME/}" -m trainkit
                    return
                fi
                break
                ;;
            -W | -X) ((i++)) ;;
            -*) ;;
            *) break ;;
        esac
    done
    if (($+functions[_python])); then
        _python "$@"
    else
        _default "$@"
    fi
}

compdef _trainkit_python python python3 python3.11 python3.12 python3.13
if [[ ${funcstack[1]} == _trainkit ]]; then
    _trainkit "$@"
else
    compdef _trainkit trainkit
fi
"""

FISH = r"""# fish completion for trainkit, also as `python -m trainkit`. To have it in every shell, put into
# ~/.config/fish/config.fish:
#     trainkit completion fish | source

function __trainkit_place --description 'Which words are the program and trainkit; nothing where it is not called'
    set -l words (commandline -opc)
    for place in (seq (count $words))
        if string match -qr '(^|/)trainkit$' -- $words[$place]
            echo $place
            echo $place
            return
        else if string match -qr '(^|/)python[0-9.]*$' -- $words[$place]
            set -l flag (contains -i -- -m $words)
            and set -l next (math $flag + 1)
            and test "$words[$next]" = trainkit
            and printf '%s\n' $place $next
            return
        end
    end
end

function __trainkit_ask
    set -l place (__trainkit_place)
    set -l before (commandline -opc)
    set -l all (commandline -op)
    set -l behind $all[(math (count $before) + 2)..-1]
    set -l program (string replace -r '^~/' "$HOME/" -- $before[$place[1]])
    test $place[1] -lt $place[2]
    and set program $program -m trainkit
    set -e before[1..$place[2]]
    set -l words (math (count $before) + 1) trainkit $before (commandline -ct) $behind
    $program completion --candidates fish $words 2>/dev/null
end

complete -c trainkit -f -a '(__trainkit_ask)'
for name in python python3 python3.11 python3.12 python3.13
    complete -c $name -f -n 'string length -q -- (__trainkit_place)' -a '(__trainkit_ask)'
end
"""

SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}

# SPDX-License-Identifier: Apache-2.0
# bash completion of postern: commands and options are those that it says itself.
_postern() {
	local word=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]} i
	COMPREPLY=()
	for ((i = 2; i < COMP_CWORD; i++)); do
		# What comes after `--` is another program's.
		if [ "${COMP_WORDS[i]}" = -- ]; then return; fi
	done
	if [ "$COMP_CWORD" = 1 ]; then
		mapfile -t COMPREPLY < <(compgen -W "$("$1" --help 2>/dev/null | sed -n 's/^  \([a-z]*\) .*/\1/p')" -- "$word")
	elif [[ $word == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$("$1" "$command" --help 2>/dev/null | grep -oE '^ +(-., )?--[a-z-]+' | grep -oE -- '--[a-z-]+')" -- "$word")
	fi
}
complete -o default -F _postern postern

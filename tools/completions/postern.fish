# SPDX-License-Identifier: Apache-2.0
# fish completion of postern: commands and options are those that it says itself.
function __postern_commands
    postern --help 2>/dev/null | string replace -rf '^  ([a-z]+) +(.*)' '$1\t$2'
end
function __postern_options
    set -l words (commandline -opc)
    contains -- -- $words; and return
    postern $words[2] --help 2>/dev/null | string replace -rf '^ +(?:-., )?(--[a-z-]+)\S*(?: [A-Z]\S*)? *(.*)' '$1\t$2'
end
complete -c postern -n __fish_use_subcommand -f -a '(__postern_commands)'
complete -c postern -n 'not __fish_use_subcommand' -a '(__postern_options)'

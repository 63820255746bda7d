# shellcheck shell=bash
# What every script here shares: one voice, colours only on a terminal, and the folders. Sourced, never run.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly root

# Tools that the scripts build live here.
tools="$root/target/tools"
# shellcheck disable=SC2034  # read by the scripts that source this
readonly tools

if [[ -t 2 && -z ${NO_COLOR:-} ]]; then
    bold=$'\e[1m' dim=$'\e[2m' red=$'\e[31m' plain=$'\e[0m'
else
    bold='' dim='' red='' plain=''
fi
readonly bold dim red plain

# say WORDS…: what happens now.
say() { printf '%s==>%s %s\n' "$bold" "$plain" "$*" >&2; }

# note WORDS…: a detail.
note() { printf '%s    %s%s\n' "$dim" "$*" "$plain" >&2; }

# fail WHAT [WHAT TO DO]…: the end, with one line for each argument.
fail() {
    printf '%serror:%s %s\n' "$red" "$plain" "$1" >&2
    shift
    if (($#)); then printf '       %s\n' "$@" >&2; fi
    exit 1
}

# have COMMAND: is it installed?
have() { command -v "$1" >/dev/null 2>&1; }

# Before cargo builds: it does not know that llama.cpp's build reads gguf/native, and would go on with what was built by another.
forget_other_native_code() {
    local release="${CARGO_TARGET_DIR:-$root/target}/release" native
    native=$(cat "$root"/gguf/native/* | sha256sum)
    [[ $(cat "$release/native.sha256" 2>/dev/null) != "$native" ]] || return 0
    if [[ -d $release/build ]]; then
        cargo clean --release --quiet -p llama-cpp-sys-2
    fi
    mkdir -p "$release"
    printf '%s\n' "$native" >"$release/native.sha256"
}

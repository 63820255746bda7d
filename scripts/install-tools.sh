#!/usr/bin/env bash
# Installs what building needs and is missing: a C++ compiler, CMake, Ninja, clang with libclang (bindings), and pip.
# Debian and Ubuntu by apt-get (sudo where not root); elsewhere it says what to install.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# llama.cpp's bindings are made by bindgen, which loads libclang at build time.
have_libclang() {
    [[ -n ${LIBCLANG_PATH:-} ]] && return 0
    compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' >/dev/null && return 0
    compgen -G '/usr/lib*/libclang*.so*' >/dev/null && return 0
    compgen -G "/usr/lib/$(uname -m)-linux-gnu/libclang*.so*" >/dev/null
}

missing_packages() {
    have g++ || echo g++
    have make || echo make
    have cmake || echo cmake
    have ninja || echo ninja-build
    have clang || echo clang
    have_libclang || echo libclang-dev
    have git || echo git
    have flock || echo util-linux
    python3 -m pip --version >/dev/null 2>&1 || echo python3-pip
}

install_packages() {
    local sudo=()
    if ((EUID != 0)); then
        have sudo || fail "these packages are missing and there is no sudo: $*" \
            "Ask an administrator for: apt-get install $*"
        sudo=(sudo)
    fi
    have apt-get || fail "this system has no apt-get, and these are missing (Debian's names): $*" \
        "Install them with your system's package manager, then run this again."
    say "installing $*"
    local log
    log=$(mktemp)
    if ! { "${sudo[@]}" apt-get update && "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends "$@"; } >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        rm -f "$log"
        fail "apt-get could not install: $*" "Install them by hand, then run this again."
    fi
    rm -f "$log"
}

check_rust() {
    local wanted found again="Run: rustup update stable"
    if ! have cargo; then
        [[ ! -x ${HOME:-}/.cargo/bin/cargo ]] ||
            fail "Rust is installed, but this shell does not know it yet" "Run: . \"\$HOME/.cargo/env\" and then this again."
        fail "cargo is not installed" "Install Rust from https://rustup.rs, then run this again."
    fi
    have rustup || again="Install Rust from https://rustup.rs beside it: this one is your system's, and rustup is not there to update it."
    wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$root/Cargo.toml")
    found=$(cd "$root" && cargo --version | cut -d' ' -f2)
    [[ $(printf '%s\n%s\n' "$wanted" "${found%%-*}" | sort -V | head -n 1) == "$wanted" ]] ||
        fail "Rust $found is too old: $wanted or later is needed" "$again"
}

# First, as what is missing of it cannot be installed here.
check_rust
mapfile -t missing < <(missing_packages)
((${#missing[@]} == 0)) || install_packages "${missing[@]}"

#!/usr/bin/env bash
# Builds cargo-deny, pinned, into target/tools (a debug build without its advisory database's client: two minutes once).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

readonly version=0.20.2
readonly binary="$tools/bin/cargo-deny"

if [[ "$("$binary" --version 2>/dev/null || true)" != "cargo-deny $version" ]]; then
    say "building cargo-deny $version"
    mkdir -p "$tools"
    cargo install --quiet --locked --debug --no-default-features --force --root "$tools" \
        --target-dir "$tools/build" cargo-deny --version "$version" ||
        fail "cargo-deny $version could not be built" "Is the crate registry in reach? See the messages above."
    rm -rf "$tools/build"
fi

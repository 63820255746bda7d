#!/usr/bin/env bash
# Everything that CI checks, stage by stage, with the time of each. `test.sh lint` leaves the tests out.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

cd "$root"
times=()

# stage NAME COMMAND…: runs it, and remembers how long it took.
stage() {
    local name=$1 start=$SECONDS
    shift
    say "$name"
    "$@" || fail "stage \"$name\" failed after $((SECONDS - start)) s" "To run it alone: $*"
    times+=("$(printf '%5d s  %s' $((SECONDS - start)) "$name")")
}

for component in fmt clippy; do
    cargo "$component" --version >/dev/null 2>&1 ||
        fail "cargo $component is not installed" "Run: rustup component add rustfmt clippy"
done

forget_other_native_code
stage "format" cargo fmt --all -- --check
stage "cargo-deny itself" scripts/install-cargo-deny.sh
stage "licences, bans, sources" env PATH="$tools/bin:$PATH" cargo deny --locked check licenses bans sources
stage "clippy" cargo clippy --release --locked --workspace --all-targets --quiet -- -D warnings
if [[ ${1:-} != lint ]]; then
    stage "build" scripts/build.sh
    stage "tests" cargo test --release --locked --workspace
fi

say "all green"
printf '%s\n' "${times[@]}"

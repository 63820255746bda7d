#!/usr/bin/env bash
# Runs every benchmark in benches/ but the engine's own (bench-engine.sh), or the ones named.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

cd "$root"
"$root/scripts/build.sh" --quiet
benches=("$@")
if ((${#benches[@]} == 0)); then
    for file in benches/*.rs; do benches+=("$(basename "$file" .rs)"); done
fi
for bench in "${benches[@]}"; do
    [[ $bench != engine* ]] || continue
    say "bench $bench"
    cargo bench --locked --quiet --bench "$bench"
done

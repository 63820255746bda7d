#!/usr/bin/env bash
# Runs every benchmark in benches/ but the engine's own (make bench-engine), or the ones named.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

cd "$root"
"$root/scripts/build.sh" --quiet
# The peer that the emotion bench runs beside ours.
EMOTION_PYTHON=${EMOTION_PYTHON:-$("$root/scripts/emotion-python.sh" measure)}
export EMOTION_PYTHON
benches=("$@")
if ((${#benches[@]} == 0)); then
    for file in benches/*.rs; do
        [[ $file == benches/engine* ]] || benches+=("$(basename "$file" .rs)")
    done
fi
for bench in "${benches[@]}"; do
    say "bench $bench"
    cargo bench --locked --quiet --bench "$bench"
done

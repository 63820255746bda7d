#!/usr/bin/env bash
# Runs the benchmarks in benches/, or the ones named. `bench.sh engine [PART] [OPTIONS]` runs the engine's own beside
# llama.cpp's tools; PART is roof, busy, peer, stall, sequential, soak, plot or all (the default).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# ONNX Runtime reports to its maker without this.
export ORT_DISABLE_TELEMETRY=1

cd "$root"
"$root/scripts/build.sh" --quiet

# The engine beside llama-batched-bench and llama-server, with the file that is served by default unless --model names another.
engine() {
    local part=${1:-all} tools models
    (($# == 0)) || shift
    tools=$("$root/scripts/llama-peer.sh")
    models=${AI_FRIEND_MODELS:-$root/models/cache}
    # Makes the served form of the default model if it is not there yet.
    "${CARGO_TARGET_DIR:-$root/target}/release/ai-friend" models pull smollm2-135m-instruct >&2
    cargo build --release --locked --quiet --workspace --example bench_engine
    mkdir -p benches/results
    OMP_WAIT_POLICY=PASSIVE "${CARGO_TARGET_DIR:-$root/target}/release/examples/bench_engine" "$part" \
        --model "$models/SmolLM2-135M-Instruct.Q8_0.gguf" --batched-bench "$tools/llama-batched-bench" \
        --server "$tools/llama-server" --json benches/results/engine.json "$@"
}

if [[ ${1:-} == engine ]]; then
    shift
    engine "$@"
    exit
fi

# The peer that the emotion bench runs beside ours.
EMOTION_PYTHON=${EMOTION_PYTHON:-$("$root/scripts/emotion-python.sh" measure)}
export EMOTION_PYTHON
benches=("$@")
if ((${#benches[@]} == 0)); then
    for file in benches/*.rs; do
        benches+=("$(basename "$file" .rs)")
    done
fi
for bench in "${benches[@]}"; do
    say "bench $bench"
    cargo bench --locked --quiet --bench "$bench"
done

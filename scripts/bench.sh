#!/usr/bin/env bash
# Runs the benchmarks in benches/, or the ones named. `bench.sh engine [PART] [OPTIONS]` runs the engine's own beside
# llama.cpp's tools, `bench.sh forms` the forms that the default model could be served in; PART is roof, busy, peer, stall, sequential,
# comeback, soak, simulate (the trace in virtual time, seconds), plot or all (the default).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# ONNX Runtime reports to its maker without this.
export ORT_DISABLE_TELEMETRY=1
# OpenMP's own default, as in production; cargo's settings for tests would make its threads sleep instead (.cargo/config.toml).
export GOMP_SPINCOUNT=300000

cd "$root"
"$root/scripts/build.sh" --quiet

# The engine beside llama-batched-bench and llama-server, with the file that is served by default unless --model names another.
engine() {
    local part=${1:-all} peers=() folder models
    (($# == 0)) || shift
    # The parts that measure against them: building them takes a quarter of an hour.
    case $part in
        roof | peer | stall | all)
            folder=$("$root/scripts/llama-peer.sh")
            peers=(--batched-bench "$folder/llama-batched-bench" --server "$folder/llama-server")
            ;;
    esac
    models=${AI_FRIEND_MODELS:-$root/models/cache}
    # Makes the served form of the default model if it is not there yet.
    "${CARGO_TARGET_DIR:-$root/target}/release/ai-friend" models pull smollm2-135m-instruct >&2
    cargo build --release --locked --quiet --workspace --example bench_engine
    mkdir -p benches/results
    "${CARGO_TARGET_DIR:-$root/target}/release/examples/bench_engine" "$part" \
        --model "$models/SmolLM2-135M-Instruct.Q4_0.gguf" "${peers[@]}" --json benches/results/engine.json "$@"
}

if [[ ${1:-} == engine ]]; then
    shift
    engine "$@"
    exit
fi

# The forms that the default model could be served in: size, loss of the friend's replies (nats a token) in every
# 24th dialogue of training/dialogues, without the adapter, and llama-batched-bench's tokens/s.
forms() {
    local binary=${CARGO_TARGET_DIR:-$root/target}/release/ai-friend models=${AI_FRIEND_MODELS:-$root/models/cache}
    local work peers type file loss speed by
    peers=$("$root/scripts/llama-peer.sh")
    "$binary" models pull smollm2-135m-instruct >&2
    work=$(mktemp -d)
    trap 'rm -rf "$work"' RETURN
    PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$root/training python3 -c 'import sys, pathlib, dataset.store as store
store.write(pathlib.Path(sys.argv[2]), store.read_all(pathlib.Path(sys.argv[1]))[23::24])' training/dialogues "$work/dialogues.jsonl"
    echo '| form | MB | loss | prefill | decode 1 | decode 8 | decode 32 |'
    echo '|---|---|---|---|---|---|---|'
    # With a + by the importance matrix, whose dialogues are not all others than these: its figures are a little too good.
    for type in ${FORMS:-Q8_0 Q4_1 Q4_0 Q4_0+ IQ4_NL IQ4_NL+ Q5_0 Q5_1 Q4_K_M}; do
        file=$models/SmolLM2-135M-Instruct.Q4_1.gguf
        if [[ $type != Q4_1 ]]; then
            by=()
            [[ $type != *+ ]] || by=(--importance models/importance/smollm2-135m-instruct.gguf)
            "$binary" --log error models quantize --allow-requantize "${by[@]}" --type "${type%+}" "$file" "$work/$type.gguf" \
                >/dev/null 2>&1
            file=$work/$type.gguf
        fi
        loss=$("$binary" --log error --model "$file" evaluate loss "$work/dialogues.jsonl" |
            python3 -c 'import json, sys; print("%.4f" % json.load(sys.stdin)["ALL"]["loss"])')
        speed=$(for users in 1 8 32; do
            "$peers/llama-batched-bench" -m "$file" -c 16384 -b 512 -ub 512 --kv-unified -npp 64 -ntg 32 -npl $users -t "$(nproc)" 2>/dev/null |
                awk -F'|' 'NF > 9 && $2 + 0 { print $7, $9 }'
        done)
        # shellcheck disable=SC2086
        set -- $speed
        echo "| $type | $(($(stat -c %s "$file") / 1000000)) | $loss | ${5:-} | ${2:-} | ${4:-} | ${6:-} |"
    done
}

if [[ ${1:-} == forms ]]; then
    forms
    exit
fi

benches=("$@")
if ((${#benches[@]} == 0)); then
    for file in benches/*.rs; do
        benches+=("$(basename "$file" .rs)")
    done
fi
for bench in "${benches[@]}"; do
    if [[ $bench == emotion ]]; then
        # The peer that it runs beside ours.
        EMOTION_PYTHON=${EMOTION_PYTHON:-$("$root/scripts/emotion-python.sh" measure)}
        export EMOTION_PYTHON
    fi
    say "bench $bench"
    cargo bench --locked --quiet --bench "$bench"
done

#!/usr/bin/env bash
# The engine on an NVIDIA GPU. `gpu.sh pack` runs where Rust is and gathers a bundle; the rest runs on the machine with the
# GPU, which needs nvcc, CMake and cores, but neither Rust nor a network:
#
#   benches/gpu.sh pack    builds the binaries and puts them, their libraries and ggml's CUDA sources into target/gpu-bundle
#   benches/gpu.sh cuda    compiles the CUDA backend (CUDA_ARCH, by default 90); stops after STAGE_SECONDS (540), run again to go on
#   benches/gpu.sh bench   synthesises the models, checks logits against the CPU, runs the benchmarks, prints one table; stops and goes on likewise
#   benches/gpu.sh         cuda, then bench
#
# BUNDLE names another folder for the bundle, MODELS other shapes to synthesise, OUT where the table and the figures go; KV (split unified), PARTS
# (logits roof peer stall sequential comeback), USERS (1,8,32,64,128), ROUNDS (3) and GPU_LAYERS (999) what is measured, MOST_MEGABYTES
# what the bundle may weigh. PEER_BIN is a folder with llama-server and llama-batched-bench that were built with backends as libraries: without it
# there is neither roof nor peer.
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib.sh"

readonly bundle=${BUNDLE:-$root/target/gpu-bundle}
readonly arch=${CUDA_ARCH:-90} stage_seconds=${STAGE_SECONDS:-540} models=${MODELS:-dolly-v2-3b dolly-v2-7b}
readonly out=${OUT:-$root/benches/results}
# Where what may travel to the machine is limited, MOST_MEGABYTES says so.
readonly most_megabytes=${MOST_MEGABYTES:-1000000}

pack() {
    cd "$root"
    # A folder of its own: these flags are not those of every other build, and llama.cpp must not be compiled anew twice.
    local target=$root/target/gpu sources built folder
    say "building with all backends as libraries (about 20 minutes on 2 cores, once)"
    # Cargo says where it built llama.cpp: folders of earlier flags or versions lie beside it.
    built=$(CARGO_TARGET_DIR=$target RUSTFLAGS="" cargo build --release --locked --workspace --features dynamic-backends \
        --bin ai-friend --example bench_engine --message-format=json-render-diagnostics |
        python3 -c 'import json, sys; print([m["out_dir"] for m in map(json.loads, sys.stdin) if m["reason"] == "build-script-executed" and "llama-cpp-sys-2" in m["package_id"]][-1])')
    rm -rf "$bundle"
    mkdir -p "$bundle/bin" "$bundle/ggml"
    cp "$target/release/ai-friend" "$target/release/examples/bench_engine" "$bundle/bin"
    for folder in "$built"/{lib,lib64,backends}; do
        if [[ -d $folder ]]; then find "$folder" -name 'lib*.so*' -exec cp --no-dereference -t "$bundle/bin" {} +; fi
    done
    compgen -G "$bundle/bin/libggml-base.so*" >/dev/null || fail "llama.cpp's shared libraries were not built"
    find "$bundle/bin" -type f -exec strip --strip-unneeded {} +
    sources=$(cargo metadata --format-version 1 --locked --offline |
        python3 -c 'import json, sys, pathlib; print(next(pathlib.Path(p["manifest_path"]).parent for p in json.load(sys.stdin)["packages"] if p["name"] == "llama-cpp-sys-2"))')
    cp -r "$sources"/llama.cpp/ggml/{CMakeLists.txt,cmake,include} "$bundle/ggml"
    # The crate leaves this one out; CMake wants it for an installation that nobody makes.
    : >"$bundle/ggml/ggml.pc.in"
    # The base reads the CPU backend's headers, which alone come along.
    mkdir -p "$bundle/ggml/src/ggml-cpu"
    cp "$sources"/llama.cpp/ggml/src/ggml-cpu/*.h "$bundle/ggml/src/ggml-cpu"
    find "$sources/llama.cpp/ggml/src" -maxdepth 1 -type f -exec cp -t "$bundle/ggml/src" {} +
    cp -r "$sources/llama.cpp/ggml/src/ggml-cuda" "$bundle/ggml/src"
    # llama.cpp's own tools go along where they were built with the same backends as libraries.
    if [[ -n ${PEER_BIN:-} ]]; then cp "$PEER_BIN"/llama-{server,batched-bench} "$bundle/bin"; fi
    git rev-parse --short HEAD >"$bundle/commit"
    local megabytes
    megabytes=$(($(tar -C "$bundle" -cz . | wc -c) / 1000000))
    say "$bundle: $megabytes MB packed"
    ((megabytes <= most_megabytes)) || fail "the bundle is larger than $most_megabytes MB"
}

cuda() {
    [[ -d $bundle/ggml ]] || fail "$bundle holds no bundle" "Run 'benches/gpu.sh pack' where Rust is, and carry it here."
    command -v nvcc >/dev/null || [[ -n ${CUDACXX:-} ]] || fail "there is no nvcc" "Put CUDA's bin folder into PATH, or name nvcc in CUDACXX."
    local build=$bundle/cuda-$arch status=0 driver=()
    # Where the driver is not installed (no GPU, a toolkit from PyPI) nothing can be linked that calls it.
    [[ $(PATH=$PATH:/sbin:/usr/sbin ldconfig -p) == *libcuda.so* ]] || driver=(-DGGML_CUDA_NO_VMM=ON)
    if [[ ! -f $build/Makefile && ! -f $build/build.ninja ]]; then
        cmake -S "$bundle/ggml" -B "$build" -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=ON -DGGML_BACKEND_DL=ON \
            -DGGML_CPU=OFF -DGGML_CUDA=ON -DGGML_NATIVE=OFF -DGGML_CUDA_NCCL=OFF -DGGML_CCACHE=OFF \
            -DGGML_BUILD_TESTS=OFF -DGGML_BUILD_EXAMPLES=OFF -DCMAKE_CUDA_ARCHITECTURES="$arch" "${driver[@]}" ${CUDA_CMAKE:-} >"$bundle/cmake.log" 2>&1 ||
            fail "CMake could not configure the CUDA backend" "$(tail -20 "$bundle/cmake.log")"
    fi
    say "compiling the CUDA backend for sm_$arch with $(nproc) jobs"
    timeout "$stage_seconds" cmake --build "$build" --target ggml-cuda --parallel "$(nproc)" >"$bundle/build.log" 2>&1 || status=$?
    if ((status == 124)); then
        say "$(grep -o '^\[ *[0-9]*%\]' "$bundle/build.log" | tail -1) after $stage_seconds s; run the same command again to go on"
        exit 75
    fi
    ((status == 0)) || fail "the CUDA backend did not compile" "$(grep -m5 -E 'error|fatal' "$bundle/build.log")"
    find "$build" -name 'libggml-cuda.so*' -exec cp --no-dereference -t "$bundle/bin" {} +
    say "compiled and linked: $(stat -c '%n, %s bytes' "$bundle/bin/libggml-cuda.so")"
}

bench() {
    [[ -e $bundle/bin/libggml-cuda.so ]] || fail "the CUDA backend is not compiled" "Run 'benches/gpu.sh cuda' first."
    export LD_LIBRARY_PATH="$bundle/bin${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" ORT_DISABLE_TELEMETRY=1
    local card table peers=() shape file kv part failed="" measured=$bundle/measured begun=$SECONDS left status first=yes
    card=$(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null || echo "no GPU that nvidia-smi knows")
    BENCH_COMMIT=$(cat "$bundle/commit") BENCH_CARD=$card
    export BENCH_COMMIT BENCH_CARD
    mkdir -p "$out" "$bundle/models"
    table=$out/gpu.md
    [[ ! -x $bundle/bin/llama-batched-bench ]] || peers+=(--batched-bench "$bundle/bin/llama-batched-bench")
    [[ ! -x $bundle/bin/llama-server ]] || peers+=(--server "$bundle/bin/llama-server")
    # Of another card or commit nothing is gone on with.
    if [[ $(head -1 "$measured" 2>/dev/null) != "$BENCH_COMMIT $card" ]]; then
        echo "$BENCH_COMMIT $card" >"$measured"
        echo "## $(date -u +%F), $card; commit $BENCH_COMMIT" >"$table"
    fi
    {
        for shape in $models; do
            file=$bundle/models/$shape.gguf
            [[ -f $file ]] || "$bundle/bin/ai-friend" models synthesize --shape "$shape" --output "$file" >&2
            for kv in ${KV:-split unified}; do
                for part in ${PARTS:-logits roof peer stall sequential comeback}; do
                    ! grep -qxF "$shape $kv $part" "$measured" || continue
                    left=$((stage_seconds - (SECONDS - begun))) status=0
                    ((left > 0)) || { say "before $shape $kv $part; run the same command again to go on" && exit 75; }
                    printf '\n### %s, Q4_K_M with random weights, %s KV: %s\n\n' "$shape" "$kv" "$part"
                    timeout "$left" "$bundle/bin/bench_engine" "$part" --model "$file" --gpu-layers "${GPU_LAYERS:-999}" --kv "$kv" \
                        --users "${USERS:-1,8,32,64,128}" --rounds "${ROUNDS:-3}" --threads 1 \
                        --json "$out/gpu-$shape-$kv.json" "${peers[@]}" || status=$?
                    # The first of a stage had all of it: once more it would not end either.
                    if [[ $status == 124 && -z $first ]]; then
                        say "amid $shape $kv $part; run the same command again to go on" && exit 75
                    fi
                    first=
                    if ((status == 0)); then echo "$shape $kv $part" >>"$measured"; else echo "$part failed"; failed+="$shape $kv $part; "; fi
                done
            done
        done
        [[ -z $failed ]] || fail "these parts failed: ${failed%; }" "What they said stands above; with status 124 a part took longer than STAGE_SECONDS ($stage_seconds)."
    } | tee -a "$table"
}

case ${1:-all} in
    pack) pack ;;
    cuda) cuda ;;
    bench) bench ;;
    all) cuda && bench ;;
    *) fail "usage: gpu.sh [pack|cuda|bench|all]" ;;
esac

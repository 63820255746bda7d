#!/usr/bin/env bash
# Puts a CUDA toolkit together from NVIDIA's PyPI packages and prints its folder: enough to compile and link ggml's CUDA
# backend where no toolkit is installed and no GPU is at hand. Nothing that it makes has run on a GPU.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

readonly packages=(
    nvidia-cuda-nvcc==13.0.88 nvidia-cuda-crt==13.0.88 nvidia-nvvm==13.0.88 nvidia-cuda-runtime==13.0.96
    nvidia-cublas==13.1.0.3 nvidia-cuda-cccl==13.0.85
)
readonly folder="$root/target/cuda-toolkit"
readonly toolkit="$folder/nvidia/cu13"
readonly done="$folder/packages.txt"

if [[ ! -x $toolkit/bin/nvcc || $(cat "$done" 2>/dev/null) != "${packages[*]}" ]]; then
    say "fetching a CUDA toolkit from PyPI (about 500 MB)"
    rm -rf "$folder"
    python3 -m pip install --quiet --disable-pip-version-check --no-deps --target "$folder" "${packages[@]}" >&2 ||
        fail "pip could not fetch the CUDA toolkit" "See its message above."
    # The packages hold libraries with versions in their names alone, where CMake looks for plain ones and for lib64.
    (cd "$toolkit/lib" && for library in *.so.*; do ln -sf "$library" "${library%%.so.*}.so"; done)
    ln -sfn lib "$toolkit/lib64"
    printf '%s' "${packages[*]}" >"$done"
fi
echo "$toolkit"

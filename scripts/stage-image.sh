#!/usr/bin/env bash
# Puts what the container image runs into a folder: the binary, its shared libraries, the embedded classifier and language
# model, the adapters that ship with it, the catalogue and the licences. What is made of the models lies in the volume /models.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

readonly to=${1:?usage: stage-image.sh FOLDER}
readonly release="${CARGO_TARGET_DIR:-$root/target}/release"

install -d "$to/models/emotion"
install "$release/ai-friend" "$root/scripts/healthcheck.sh" "$to"
install -m 644 "$root"/models/emotion/{model.onnx,tokenizer.json,config.json,README.md} "$to/models/emotion"
install -m 644 "$root/models/catalogue.toml" "$to/models"
if [[ -d $root/models/adapters ]]; then
    find "$root/models/adapters" -maxdepth 1 -type f -exec install -D -m 644 -t "$to/models/adapters" {} +
fi
install -m 644 "$root/LICENSE" "$root/THIRD_PARTY.md" "$to"
if [[ -d $root/personas ]]; then cp -r "$root/personas" "$to/personas"; fi

# llama.cpp's own libraries, and one backend for every kind of CPU (and CUDA): found beside the binary when it starts.
mapfile -t libraries < <(find "$release"/build/llama-cpp-sys-2-*/out/{lib,lib64,backends} -name 'lib*.so*' 2>/dev/null)
((${#libraries[@]})) || fail "llama.cpp's shared libraries were not built" "Build with --features dynamic-backends first."
cp --no-dereference "${libraries[@]}" "$to"

# What was fetched goes beside the binary, too: whatever is mounted over /models must not hide it.
pinned=$(awk '!/^#/ && NF == 5 && ($1 == "any" || $1 == arch) { print $3 }' arch="$(uname -m)" "$root/models/pins.txt")
while read -r name; do
    file="$(dirname "$to")/models/$name"
    [[ -f $file ]] || file="$root/models/cache/$name"
    [[ -f $file ]] || fail "$name was not fetched" "Run scripts/fetch-models.sh first."
    case $name in
        libonnxruntime.so.*) install "$file" "$to/libonnxruntime.so" ;;
        *) install -D -m 644 -t "$to/models/bundled" "$file" ;;
    esac
done <<<"$pinned"

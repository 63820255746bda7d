#!/usr/bin/env bash
# The emotion classifier's recipe: `emotion.sh train` makes model.onnx again from EMOTION_DATA, of which it needs all of train/;
# `emotion.sh eval` measures the one that is there, in Python and through the binary: on the repository's own sets, and on those of
# EMOTION_DATA, of which missing ones are skipped by name.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# ONNX Runtime reports to its maker without this.
export ORT_DISABLE_TELEMETRY=1

readonly recipe="$root/models/emotion"
command=${1:-}
shift || true

case $command in
    train)
        [[ -d ${EMOTION_DATA:-} ]] || fail "EMOTION_DATA names no folder" \
            "Training needs all of train/ in it; models/emotion/README.md says what belongs there and where it comes from."
        EMOTION_DATA=$(realpath "$EMOTION_DATA") # its steps run in the recipe's folder
        export EMOTION_DATA
        python=$("$root/scripts/emotion-python.sh" train)
        run="$root/target/emotion-run"
        cd "$recipe"
        "$python" train.py --out "$run" "$@" # goes on from its last epoch
        "$python" calibrate.py "$run"
        "$python" export.py "$run"
        "$python" evaluate.py --write
        "$python" fixtures.py
        ;;
    eval)
        if [[ -n ${EMOTION_DATA:-} ]]; then
            EMOTION_DATA=$(realpath -m "$EMOTION_DATA")
            export EMOTION_DATA
        fi
        python=$("$root/scripts/emotion-python.sh" measure)
        binary="${CARGO_TARGET_DIR:-$root/target}/release/ai-friend"
        cd "$root" # the binary reads models/ and its settings from here
        PYTHONDONTWRITEBYTECODE=1 "$python" "$recipe/evaluate.py" --binary "$(realpath "$binary")" "$@"
        ;;
    *) fail "usage: scripts/emotion.sh train|eval" "train needs EMOTION_DATA, eval measures the sets of it that are there." ;;
esac

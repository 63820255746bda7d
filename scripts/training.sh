#!/usr/bin/env bash
# The friend's training: `training.sh train` checks the dialogues, trains, and exports the adapter; a stopped run goes on.
# `training.sh test` tests the pipeline on tiny models, `training.sh evaluate` measures an adapter beside its base.
# DIALOGUE_DATA names the folder with synthetic-persona-chat/.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

command=${1:-}
shift || true
cd "$root"
binary=$(realpath -m "${CARGO_TARGET_DIR:-$root/target}/release/ai-friend")
export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$root/training" HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false

case $command in
    train)
        python=$("$root/scripts/training-python.sh")
        run="$root/target/training-run/friend"
        "$python" -m dataset gates
        "$python" training/train.py --out "$run" "$@"
        "$python" training/export.py "$run" --binary "$binary"
        ;;
    test)
        python=$("$root/scripts/training-python.sh")
        AI_FRIEND_BINARY="$binary" "$python" -m pytest -q -p no:cacheprovider training/tests "$@"
        ;;
    evaluate)
        python=$("$root/scripts/training-python.sh")
        "$python" training/evaluate.py --binary "$binary" "$@"
        ;;
    *) fail "usage: scripts/training.sh train|test|evaluate" ;;
esac

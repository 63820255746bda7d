#!/usr/bin/env bash
# The friend's training: `training.sh train` checks the dialogues, trains, and exports the adapter; a stopped run goes on.
# `training.sh test` tests the pipeline on tiny models, and the emotion classifier's recipe; `training.sh evaluate` measures an
# adapter beside its base.
# DIALOGUE_DATA names the folder with synthetic-persona-chat/.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

command=${1:-}
shift || true
cd "$root"
binary=$(realpath -m "${CARGO_TARGET_DIR:-$root/target}/release/ai-friend")
# Compiled modules stay out of the source tree; PyTorch's take 15 seconds to make, so they are kept.
unset PYTHONDONTWRITEBYTECODE
export PYTHONPYCACHEPREFIX="$root/target/python-cache"
export PYTHONPATH="$root/training" HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false

case $command in
    train)
        python=$("$root/scripts/training-python.sh")
        # Dialogues, a base or a folder of one's own make an adapter of one's own: only the friend's replaces the shipped one.
        run="$root/target/training-run/friend" own='' before=''
        for argument in "$@"; do
            case $argument in
                -h | --help) exec "$python" training/train.py --help ;;
                --out=*) run=${argument#*=} own=yes ;;
                --out | --dialogues | --dialogues=* | --base | --base=* | --recipe | --recipe=*) own=yes ;;
            esac
            [[ $before != --out ]] || run=$argument
            before=$argument
        done
        [[ $own ]] || "$python" -m dataset gates
        # The file that is served, on whose weights the adapter is trained, is made of the one that was fetched.
        "$binary" --models "${AI_FRIEND_MODELS:-models/cache}" models pull smollm2-135m-instruct
        "$python" training/train.py --out "$run" "$@"
        if [[ $own ]]; then
            say "the run is in $run; an adapter for the bot is made of it by: $python training/export.py $run --output mine.gguf --name mine --binary $binary (with --base, and --source, if the base is one of your own)"
        else
            # A run that was stopped as asked (--max-minutes) is no error, and no friend yet.
            "$python" training/export.py "$run" --binary "$binary" --finished-only
        fi
        ;;
    test)
        python=$("$root/scripts/training-python.sh")
        # The tiny models' matrices are too small to share between threads.
        OMP_NUM_THREADS=1 AI_FRIEND_BINARY="$binary" "$python" -m pytest -q -p no:cacheprovider training/tests "$@"
        # Its environment has all that the emotion classifier's recipe needs for its own tests, too.
        if [[ $# == 0 ]]; then
            cd "$root/models/emotion" # both folders have a `train` and an `evaluate`
            PYTHONPATH='' ORT_DISABLE_TELEMETRY=1 "$python" -m unittest -q
        fi
        ;;
    evaluate)
        python=$("$root/scripts/training-python.sh")
        "$python" training/evaluate.py --binary "$binary" "$@"
        ;;
    *) fail "usage: scripts/training.sh train|test|evaluate" ;;
esac

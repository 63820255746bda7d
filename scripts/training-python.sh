#!/usr/bin/env bash
# Makes the Python environment of training/, pinned by its requirements.txt, and prints its interpreter. Only `make train`,
# `make train-test` and `make evaluate` need it: the bot, `make demo` and `make test` never do.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

readonly python="$root/target/python-training/bin/python"
readonly done="$root/target/python-training/requirements.txt"
wanted=$(grep -v '^#' "$root/training/requirements.txt")

# install ARGUMENTS…: nothing is compiled beforehand, which would take a minute; Python does it for what it imports.
install() {
    python3 -m pip --python "$python" install --quiet --no-compile --disable-pip-version-check "$@" >&2
}

if [[ ! -x $python || $(cat "$done" 2>/dev/null) != "$wanted" ]]; then
    have python3 || fail "there is no python3" "Install Python 3.11 (Debian: apt-get install python3 python3-pip)."
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "$(python3 --version) is too old for the training" "Install Python 3.11 or later, and put it first in PATH as python3."
    say "installing the Python packages to train a friend (once; PyTorch with CUDA's libraries is about 3 GB)"
    # --without-pip: Debian's python3 has no ensurepip; the pip that is there installs into the environment.
    [[ -x $python ]] || python3 -m venv --clear --without-pip "$root/target/python-training"
    install --requirement /dev/stdin <<<"$wanted" ||
        fail "the Python environment for training could not be installed" \
            "pip's message is above. It needs PyPI, and up to 7 GB in target/python-training; started again, it goes on."
    printf '%s\n' "$wanted" >"$done"
fi
echo "$python"

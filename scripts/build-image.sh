#!/usr/bin/env bash
# Builds the container image `ai-friend` with docker or buildah, whichever is there. TARGET=cuda for NVIDIA; arguments are
# passed on (--build-arg BASE=…).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

cd "$root"
build=(--target "${TARGET:-cpu}" --tag ai-friend "$@" .)
if have docker && docker info >/dev/null 2>&1; then
    docker build "${build[@]}"
elif have buildah; then
    buildah bud --isolation chroot --format docker "${build[@]}"
elif have docker; then
    fail "docker is here, but its engine does not answer: $(docker info 2>&1 | tail -n 1)" \
        "Start it, or join the group docker; or: apt-get install buildah"
else
    fail "neither a docker engine nor buildah is here" "Install one: apt-get install buildah"
fi

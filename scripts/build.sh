#!/usr/bin/env bash
# Builds the release binary. One profile, one feature set and one RUSTFLAGS everywhere (see .cargo/config.toml): with any
# other, cargo compiles llama.cpp a second time.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

cd "$root"
forget_other_native_code
cargo build --release --locked "$@" || fail "the build failed" "The compiler's message above says where."

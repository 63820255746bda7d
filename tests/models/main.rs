//! Models by name, file and folder, and the hub they come from, over a real (and often rude) HTTP server on loopback.

mod adapters;
mod hub;
mod pull;
mod resolve;
mod server;
mod stop;
mod tidy;

use std::path::PathBuf;

use sha2::{Digest, Sha256};

/// A file or folder of the conversion's fixtures.
fn fixture(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("gguf/tests/fixtures").join(path)
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

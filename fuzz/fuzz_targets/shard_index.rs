//! Feeds arbitrary bytes to the parser `shard_index`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = friend_gguf::convert::parsers::shard_index(bytes);
});

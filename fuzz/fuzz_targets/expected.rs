//! Feeds arbitrary bytes to the parser `expected`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = friend_gguf::convert::parsers::expected(bytes);
});

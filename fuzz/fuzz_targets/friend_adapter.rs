//! Feeds arbitrary bytes to the parser `friend_adapter`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = friend_gguf::convert::parsers::friend_adapter(bytes);
});

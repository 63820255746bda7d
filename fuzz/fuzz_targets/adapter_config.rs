//! Feeds arbitrary bytes to the parser `adapter_config`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = friend_gguf::convert::parsers::adapter_config(bytes);
});

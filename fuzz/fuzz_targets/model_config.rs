//! Feeds arbitrary bytes to the parser `model_config`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = friend_gguf::convert::parsers::model_config(bytes);
});

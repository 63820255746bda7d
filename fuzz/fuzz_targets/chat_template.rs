//! Feeds arbitrary bytes to the parser `chat_template`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = friend_gguf::convert::parsers::chat_template(bytes);
});

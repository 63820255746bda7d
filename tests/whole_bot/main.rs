//! The whole bot with its real models (language model, ONNX Runtime, SQLite) over HTTP to the emulator of Telegram's Bot
//! API: what its users live through.

mod adapter;
mod command_line;
mod dolly;
mod process;
mod running;
mod talk;

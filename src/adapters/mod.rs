//! Every vendor's API is named below here and nowhere else: each module implements one port with the real thing.

pub mod hub;
pub mod onnx;
pub mod sqlite;
pub mod telegram;
pub mod terminal;

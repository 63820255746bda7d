//! How long work tells how far it is.

/// Hears how far long work is; `()` hears nothing.
pub trait Progress {
    /// A stage begins: what it does, and how many bytes it will handle (0 if unknown).
    fn start(&mut self, stage: &str, bytes: u64);
    /// So many more bytes are done.
    fn advance(&mut self, bytes: u64);
}

impl Progress for () {
    fn start(&mut self, _: &str, _: u64) {}
    fn advance(&mut self, _: u64) {}
}

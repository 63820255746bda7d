//! Settings of the whole program.

mod secret;

pub use secret::Secret;

//! Stand-ins for the world outside, in the caller's thread and in virtual time, with faults on demand.

pub mod contract;
pub mod engine;
pub mod messenger;
pub mod probe;
pub mod scorer;
pub mod store;
#[cfg(test)]
pub(crate) mod time;

//! Who tells whom: supervised actors that take a person's message to the friend's answer.

pub mod messages;
pub mod ports;
pub mod types;

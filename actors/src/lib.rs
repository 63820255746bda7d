//! Who tells whom: supervised actors that take a person's message to the friend's answer.

pub mod messages;
pub mod outbox;
pub mod pace;
pub mod poller;
pub mod ports;
pub mod split;
pub mod types;

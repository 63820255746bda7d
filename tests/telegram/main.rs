//! The bot's side of the wire against the Bot API emulator, over HTTP on loopback: the adapter alone, then the poller and
//! the outbox with it. The store is the fake one; its own durability is tested elsewhere.

mod faults;
mod outbox;
mod poller;
mod talk;
mod world;

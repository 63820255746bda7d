//! Who tells whom: supervised actors that take a person's message to the friend's answer.

mod aftercare;
mod care;
pub mod conversation;
pub mod emotion;
pub mod fakes;
mod front_desk;
mod generation;
pub mod house;
pub mod known;
pub mod llm;
pub mod messages;
pub mod mode;
pub mod outbox;
pub mod pace;
pub mod persona;
pub mod poller;
pub mod ports;
pub mod prompt;
pub mod reception;
mod remembering;
pub mod reply;
pub mod report;
pub mod router;
pub mod safety;
pub mod session;
pub mod split;
pub mod supervisor;
pub mod tact;
pub mod texts;
pub mod types;
mod typing;

pub use front_desk::COMMANDS;

//! The runtime for AI companions on Telegram: adapters to the outside world, settings, and their composition.

pub mod adapters;
pub mod cli;
pub mod config;
pub mod models;
pub mod score;

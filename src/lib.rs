//! The runtime for AI companions on Telegram: adapters to the outside world, settings, and their composition.

pub mod adapters;
pub mod app;
pub mod cli;
pub mod commands;
pub mod complaint;
pub mod config;
pub mod evaluate;
pub mod models;
pub mod score;
pub mod signals;
pub mod terminal;
pub mod web;

//! `ai-friend evaluate …`: what a model makes of written conversations.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `ai-friend evaluate`.
#[derive(Clone, Debug, Args)]
pub struct Evaluate {
    /// What to do.
    #[command(subcommand)]
    pub command: EvaluateCommand,
}

/// What can be evaluated.
#[derive(Clone, Debug, Subcommand)]
pub enum EvaluateCommand {
    /// Prints the loss (nats per token) and perplexity of the friend's replies, for each mode and in all
    Loss {
        /// Conversations as JSON Lines; `-` is standard input
        #[arg(default_value = "-")]
        file: PathBuf,
    },
    /// Answers the last message of each conversation; one line `{"reply":…,"tokens":…,"cut":…}` for each
    Reply {
        /// Conversations as JSON Lines; `-` is standard input
        #[arg(default_value = "-")]
        file: PathBuf,
    },
}

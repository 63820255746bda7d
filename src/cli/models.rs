//! `ai-friend models …`: getting language models ready.

use clap::{Args, Subcommand};

/// `ai-friend models`.
#[derive(Clone, Debug, Args)]
pub struct Models {
    /// What to do.
    #[command(subcommand)]
    pub command: ModelsCommand,
}

/// What can be done with models.
#[derive(Clone, Debug, Subcommand)]
pub enum ModelsCommand {
    /// Lists the catalogue: names, what is here already, licences
    List,
}

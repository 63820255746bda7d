//! `ai-friend botapi`: the emulator alone.

use std::process::ExitCode;

use anyhow::Result;
use friend_sim::bot_api::{BotApi, Config, DEFAULT_TOKEN};

use crate::app;
use crate::cli::Botapi;

/// Serves the emulator until a signal.
///
/// # Errors
/// The address cannot be had.
pub fn botapi(asked: &Botapi) -> Result<ExitCode> {
    actix::System::new().block_on(async {
        let stop = app::stop_on_signal();
        let server = BotApi::start(Config { listen: asked.listen, ..Config::default() }).await?;
        println!("Bot API emulator at {}", server.url());
        println!("A bot of yours: TG_API_URL={} TG_BOT_TOKEN={DEFAULT_TOKEN} ai-friend run", server.url());
        println!("Play users:     curl {}/control/", server.url());
        stop.cancelled().await;
        server.shutdown().await;
        Ok(ExitCode::SUCCESS)
    })
}

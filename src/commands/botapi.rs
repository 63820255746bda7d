//! `ai-friend botapi`: the emulator alone.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
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
        let settings = settings(asked);
        let control = settings.serve_control;
        let server = BotApi::start(settings).await?;
        let (url, mut out) = (server.url(), std::io::stdout());
        let play = if control {
            format!("curl {url}/control/")
        } else {
            "not here, as others can reach this address; --control serves it all the same".to_owned()
        };
        let told = format!(
            "Bot API emulator at {url}\n\
             A bot of yours: TG_API_URL={url} TG_BOT_TOKEN={DEFAULT_TOKEN} ai-friend run\n\
             Play users:     {play}\n"
        );
        out.write_all(told.as_bytes()).context("cannot write to standard output")?;
        stop.cancelled().await;
        server.shutdown().await;
        Ok(ExitCode::SUCCESS)
    })
}

/// Whoever reaches /control reads everything and speaks for everybody. On an address that only this machine reaches, that
/// is its owner.
fn settings(asked: &Botapi) -> Config {
    let serve_control = asked.control || asked.listen.ip().is_loopback();
    Config { listen: asked.listen, serve_control, ..Config::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_played_from_elsewhere_only_where_that_was_asked_for() {
        let served =
            |listen: &str, control| settings(&Botapi { listen: listen.parse().unwrap(), control }).serve_control;
        for here in ["127.0.0.1:8081", "[::1]:0"] {
            assert!(served(here, false), "{here}");
        }
        for everywhere in ["0.0.0.0:8081", "[::]:8081", "192.168.1.2:8081"] {
            assert!(!served(everywhere, false) && served(everywhere, true), "{everywhere}");
        }
    }
}

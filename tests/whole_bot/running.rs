//! The whole bot in this process, over HTTP to an emulator.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ai_friend::adapters::onnx::LIBRARY;
use ai_friend::app::{self, Mind};
use ai_friend::config::{Config, Secret};
use friend_actors::house::{House, Windows};
use friend_actors::messages::Fatal;
use friend_actors::ports::Messenger;
use friend_actors::supervisor::Supervision;
use friend_sim::bot_api::{self, BotApi, DEFAULT_TOKEN, Limits, Server};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long an answer may take on a machine that does other things too. Nothing waits this long unless it fails.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A running bot and the Telegram that it talks to.
pub struct Running {
    /// Telegram.
    pub server: Server,
    /// What the bot tells of itself.
    pub windows: Windows,
    /// For panics on purpose.
    pub supervision: Supervision,
    house: JoinHandle<Result<(), Fatal>>,
    stop: CancellationToken,
    _data: TempDir,
}

/// The embedded models of this project, and no waiting for bursts.
pub fn config() -> Config {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let cache =
        std::env::var_os("AI_FRIEND_MODELS").map_or_else(|| project.join("models/cache"), |dir| project.join(dir));
    let mut config = Config::default();
    config.emotion.model = project.join("models/emotion");
    config.emotion.onnxruntime = Some(cache.join(LIBRARY));
    config.models.dir = cache;
    config.conversation.burst_quiet_ms = 0;
    config
}

impl Running {
    /// Starts emulator and bot with an empty store. Telegram's flood limits are off.
    pub async fn start(config: &Config, mind: &Mind) -> Self {
        let settings = bot_api::Config { limits: Limits::off(), ..bot_api::Config::default() };
        let server = BotApi::start(settings).await.unwrap();
        let token = Secret::new(DEFAULT_TOKEN);
        let telegram: Arc<dyn Messenger> = Arc::new(app::telegram_with(config, server.url(), token).unwrap());
        let data = tempfile::tempdir().unwrap();
        let store = app::store(data.path(), config).unwrap();
        let (windows, stop) = (Windows::default(), CancellationToken::new());
        let parts = mind.parts(telegram.me().await.unwrap().id, telegram, store, config);
        let house_config = app::house_config(config);
        let (supervision, events) = Supervision::new(house_config.intensity);
        let house = House { parts, config: house_config, windows: windows.clone(), supervision: supervision.clone() };
        let house = actix::spawn(house.serve(events, stop.clone()));
        Self { server, windows, supervision, house, stop, _data: data }
    }

    /// Ends the bot and the emulator.
    pub async fn stop(self) {
        self.stop.cancel();
        self.house.await.unwrap().unwrap();
        self.server.shutdown().await;
    }
}

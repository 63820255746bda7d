//! The bot in this process, with a model of its own and a recorder in front of the engine.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ai_friend::adapters::onnx::LIBRARY;
use ai_friend::app::{self, Mind};
use ai_friend::config::{Config, Secret};
use friend_actors::house::Windows;
use friend_actors::ports::{Engine, Messenger};
use friend_actors::report::TurnReport;
use friend_gguf::request::{EngineStatus, ModelInfo, OwnerId, Request, SubmitError, Ticket, Usage};
use friend_sim::bot_api::{self, BotApi, DEFAULT_TOKEN, Limits, Server, User};
use tempfile::TempDir;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(120);

/// A running bot and one person who talks to it.
pub struct Bot {
    user: User,
    recorder: Arc<Recorder>,
    reports: broadcast::Receiver<TurnReport>,
    server: Server,
    house: JoinHandle<anyhow::Result<()>>,
    stop: CancellationToken,
    _folder: TempDir,
}

impl Bot {
    /// Converts and loads the model of a folder, with the reference's persona.
    pub async fn start(model: &Path, adapter: Option<&Path>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let project = Path::new(env!("CARGO_MANIFEST_DIR"));
        let cache = std::env::var_os("AI_FRIEND_MODELS").map_or_else(|| project.join("models/cache"), Into::into);
        let mut config = Config::default();
        config.model.name = model.to_str().unwrap().to_owned();
        config.model.adapter = adapter.map(Path::to_owned);
        (config.model.context_tokens, config.model.kv_tokens) = (1024, 2048);
        config.models.dir = folder.path().join("models");
        config.emotion.model = project.join("models/emotion");
        config.emotion.onnxruntime = Some(project.join(cache).join(LIBRARY));
        config.persona.path = Some("reference".into());
        config.conversation.burst_quiet_ms = 0;

        let mut mind = Mind::load(&config).unwrap();
        let recorder = Arc::new(Recorder { engine: mind.engine.clone(), prompts: Mutex::default() });
        mind.engine = recorder.clone();
        let settings = bot_api::Config { limits: Limits::off(), ..bot_api::Config::default() };
        let server = BotApi::start(settings).await.unwrap();
        let token = Secret::new(DEFAULT_TOKEN);
        let telegram: Arc<dyn Messenger> = Arc::new(app::telegram_with(&config, server.url(), token).unwrap());
        let store = app::store(&folder.path().join("data"), &config).unwrap();
        let (windows, stop) = (Windows::default(), CancellationToken::new());
        let reports = windows.observer.watch();
        let parts = mind.parts(telegram.me().await.unwrap().id, telegram, store, &config);
        let house = actix::spawn(app::serve(parts, app::house_config(&config), windows, stop.clone()));
        let user = server.control().user(1, "Anna");
        Self { user, recorder, reports, server, house, stop, _folder: folder }
    }

    /// Says something and waits for the answer.
    pub async fn answer(&mut self, text: &str) -> String {
        let said = self.user.say(text);
        self.user.next_message(said.seq, PATIENCE).await.unwrap().0
    }

    /// What the last answer cost.
    pub async fn usage(&mut self) -> Usage {
        self.reports.recv().await.unwrap().usage.unwrap()
    }

    /// Every prompt that reached the engine, as text.
    pub fn prompts(&self) -> Vec<String> {
        self.recorder.prompts.lock().unwrap().clone()
    }

    /// The adapter that the engine has applied.
    pub fn adapter(&self) -> Option<&str> {
        self.recorder.model().adapter.as_deref()
    }

    /// Ends the bot and the emulator.
    pub async fn stop(self) {
        self.stop.cancel();
        self.house.await.unwrap().unwrap();
        self.server.shutdown().await;
    }
}

/// The real engine, and a record of what it was asked.
struct Recorder {
    engine: Arc<dyn Engine>,
    prompts: Mutex<Vec<String>>,
}

impl Engine for Recorder {
    fn submit(&self, request: Request) -> Result<Ticket, SubmitError> {
        self.prompts.lock().unwrap().push(request.prompt.text());
        self.engine.submit(request)
    }

    fn forget(&self, owner: OwnerId) {
        self.engine.forget(owner);
    }

    fn model(&self) -> &ModelInfo {
        self.engine.model()
    }

    fn status(&self) -> EngineStatus {
        self.engine.status()
    }
}

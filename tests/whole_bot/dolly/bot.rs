//! The bot in this process, with a model of its own and a recorder in front of the engine.

use std::path::Path;
use std::sync::{Arc, Mutex};

use ai_friend::app::Mind;
use friend_actors::ports::Engine;
use friend_actors::report::TurnReport;
use friend_gguf::request::{EngineStatus, ModelInfo, OwnerId, Request, SubmitError, Ticket, Usage};
use friend_sim::bot_api::User;
use tempfile::TempDir;
use tokio::sync::broadcast;

use crate::running::{self, PATIENCE, Running};

/// A running bot and one person who talks to it.
pub struct Bot {
    user: User,
    recorder: Arc<Recorder>,
    reports: broadcast::Receiver<TurnReport>,
    running: Running,
    _models: TempDir,
}

impl Bot {
    /// Converts and loads the model of a folder, with the reference's persona.
    pub async fn start(model: &Path, adapter: Option<&Path>) -> Self {
        let models = tempfile::tempdir().unwrap();
        let mut config = running::config();
        config.model.name = model.to_str().unwrap().to_owned();
        config.model.adapter = adapter.map(Path::to_owned);
        (config.model.context_tokens, config.model.kv_tokens) = (1024, 2048);
        config.models.dir = models.path().to_owned();
        config.persona.path = Some("reference".into());

        let mut mind = Mind::load(&config).unwrap();
        let recorder = Arc::new(Recorder { engine: mind.engine.clone(), prompts: Mutex::default() });
        mind.engine = recorder.clone();
        let running = Running::start(&config, &mind).await;
        let reports = running.windows.observer.watch();
        let user = running.server.control().user(1, "Anna");
        Self { user, recorder, reports, running, _models: models }
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
        self.running.stop().await;
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

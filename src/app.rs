//! The composition root: from settings to running parts, in the order that fails earliest on what a person can mend.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use friend_actors::conversation::ConversationConfig;
use friend_actors::emotion::EmotionSettings;
use friend_actors::house::{HouseConfig, Parts, Windows};
use friend_actors::outbox::{self, OutboxSettings};
use friend_actors::persona::{Persona, TemplateKind};
use friend_actors::poller::PollerSettings;
use friend_actors::ports::{Engine, Messenger, Scorer, Store};
use friend_actors::prompt::Template;
use friend_actors::safety::{Next, Safety};
use friend_actors::supervisor::Intensity;
use friend_gguf::llama::end_process;
use friend_gguf::request::{EngineConfig, KvKeys, KvLayout};
use tokio_util::sync::CancellationToken;

use crate::adapters::onnx::{OnnxConfig, OnnxScorer};
use crate::adapters::sqlite::{Options, SqliteStore};
use crate::adapters::telegram::{Telegram, TelegramConfig};
use crate::config::{self, Config, Secret};

/// The parts that do not depend on the messenger.
pub struct Mind {
    /// The friend.
    pub persona: Arc<Persona>,
    /// The batching engine with its model.
    pub engine: Arc<dyn Engine>,
    /// How prompts are written for that model.
    pub template: Template,
    /// The emotion classifier.
    pub scorer: Arc<dyn Scorer>,
}

impl Mind {
    /// Loads persona, classifier and model. Takes seconds; a model that has to be prepared first takes minutes and
    /// shows its progress.
    ///
    /// # Errors
    /// What is missing or broken, and what to do about it.
    pub fn load(config: &Config) -> Result<Self> {
        friend_actors::safety::prepare();
        let persona = Arc::new(persona(config)?);
        let scorer: Arc<dyn Scorer> = Arc::new(scorer(config)?);
        let Thinker { engine, template, .. } = thinker(config, &persona)?;
        Ok(Self { persona, engine, template, scorer })
    }

    /// [`Mind::load`] while the caller's runtime goes on, so that a signal is heard meanwhile. `None` where `stop` came
    /// first: what has arrived of a download stays.
    ///
    /// # Errors
    /// As [`Mind::load`].
    pub async fn load_until(config: &Config, stop: &CancellationToken) -> Result<Option<Self>> {
        let config = config.clone();
        let (reply, loaded) = tokio::sync::oneshot::channel();
        let work = move || {
            // After a signal nobody waits for it.
            let _ = reply.send(Self::load(&config));
        };
        // Not a blocking task of the runtime, whose end would wait for it: this thread ends with the process.
        let thread = std::thread::Builder::new().name("load".to_owned()).spawn(work);
        thread.context("no thread could be started to load the model")?;
        tokio::select! {
            loaded = loaded => loaded.context("loading the model panicked; the log says where")?.map(Some),
            () = stop.cancelled() => {
                ABANDONED.store(true, Relaxed);
                Ok(None)
            }
        }
    }

    /// Puts the parts together for one messenger and store.
    pub fn parts(&self, bot: i64, messenger: Arc<dyn Messenger>, store: Arc<dyn Store>, config: &Config) -> Parts {
        Parts {
            bot,
            messenger,
            store,
            scorer: self.scorer.clone(),
            engine: self.engine.clone(),
            template: self.template.clone(),
            persona: self.persona.clone(),
            safety: safety(config),
        }
    }
}

/// The same settings with a cache for a single conversation, where its size was left open.
pub fn for_one(config: &Config) -> Config {
    let mut config = config.clone();
    if config.model.kv_tokens == 0 {
        // Streams that were asked for by name are counted by the engine: a stream for each slot and prefix.
        if config.model.kv_layout != config::KvLayout::Split {
            config.model.kv_tokens = config.model.context_tokens * SINGLE_CONTEXTS;
        }
        // Where the model needs a stream for each slot: an answer, and the one that replaces it.
        config.model.slots = config.model.slots.min(2);
    }
    config
}

/// Whether a model is being loaded that nobody waits for any more.
static ABANDONED: AtomicBool = AtomicBool::new(false);

/// Ends the process with `code`, once everything else has been put in order.
pub fn end(code: ExitCode) -> ExitCode {
    if ABANDONED.load(Relaxed) {
        end_process(u8::from(code != ExitCode::SUCCESS));
    }
    code
}

/// How long a person in the terminal waits for an answer before something must be wrong: a burst holds it back, and one
/// that takes longer than its deadline is tried once more before the friend gives it up with a kind word.
pub fn patience(config: &Config) -> Duration {
    let talk = &config.conversation;
    Duration::from_secs(2 * talk.reply_deadline_s + 10) + Duration::from_millis(talk.burst_max_ms)
}

/// Contexts that a single conversation's cache has room for: it is read under several modes' prefixes.
const SINGLE_CONTEXTS: u32 = 4;

/// The language model, started, and how it is written to.
pub struct Thinker {
    /// The batching engine with its model.
    pub engine: Arc<dyn Engine>,
    /// How prompts are written for that model.
    pub template: Template,
    /// The file that is served.
    pub gguf: PathBuf,
    /// Its adapter in GGUF, and how strongly it acts.
    pub adapter: Option<(PathBuf, f32)>,
}

/// Prepares and starts the model that the settings name.
///
/// # Errors
/// A model that cannot be had or started, a persona that does not fit it.
pub fn thinker(config: &Config, persona: &Persona) -> Result<Thinker> {
    let resolved = crate::models::resolve(config)?;
    let engine = friend_gguf::llama::start(engine_config(config, &resolved))
        .with_context(|| format!("the model {} cannot be started", config.model.name))?;
    let kind = match persona.template {
        TemplateKind::Auto => resolved.template.unwrap_or_default(),
        asked => asked,
    };
    let template = Template::for_model(kind, engine.model())
        .with_context(|| format!("the persona {} does not fit the model", persona.name))?;
    Ok(Thinker { engine: Arc::new(engine), template, gguf: resolved.gguf, adapter: resolved.adapter })
}

/// The persona that the settings name.
///
/// # Errors
/// Unreadable, or not a persona: file, line and what is wrong.
pub fn persona(config: &Config) -> Result<Persona> {
    match &config.persona.path {
        Some(path) => Ok(Persona::load(path)?),
        None => Ok(Persona::arthur()),
    }
}

/// The emotion classifier that the settings name, started.
///
/// # Errors
/// Missing files, a library of the wrong version, labels that do not fit.
pub fn scorer(config: &Config) -> Result<OnnxScorer> {
    let emotion = &config.emotion;
    let model_dir = find_folder(&emotion.model)
        .with_context(|| format!("the emotion model's folder {} is not there", emotion.model.display()))?;
    let models = find_folder(&config.models.dir).unwrap_or_else(|| config.models.dir.clone());
    Ok(OnnxScorer::start(OnnxConfig { model_dir, ..OnnxConfig::new(emotion, &models) })?)
}

/// Telegram as the settings name it.
///
/// # Errors
/// No token, or an address that is none.
pub fn telegram(config: &Config) -> Result<Telegram> {
    let Some(token) = config.telegram.token.clone() else {
        bail!(
            "there is no token. Get one from @BotFather in Telegram and give it as TG_BOT_TOKEN; to try the friend \
             without Telegram, run `ai-friend demo`"
        );
    };
    telegram_with(config, config.telegram.api_url.clone(), token)
}

/// Telegram at another address, with another token (the demo's emulator).
///
/// # Errors
/// An address or a token that cannot be one.
pub fn telegram_with(config: &Config, base_url: String, token: Secret) -> Result<Telegram> {
    let telegram = &config.telegram;
    Ok(Telegram::new(&TelegramConfig {
        base_url,
        token,
        poll_timeout: Duration::from_secs(telegram.poll_timeout_s),
        request_timeout: Duration::from_secs(telegram.request_timeout_s),
    })?)
}

/// The store in a data folder.
///
/// # Errors
/// The folder cannot be written, another process has it, or its database is newer or damaged.
pub fn store(folder: &Path, config: &Config) -> Result<Arc<SqliteStore>> {
    Ok(Arc::new(SqliteStore::open(folder, Options::from(&config.store))?))
}

/// What is said to people who may harm themselves.
pub fn safety(config: &Config) -> Safety {
    let safety = &config.safety;
    Safety {
        enabled: safety.enabled,
        answer: safety.answer.clone(),
        answer_again: safety.answer_again.clone(),
        answer_other: safety.answer_other.clone(),
        answer_thanks: safety.answer_thanks.clone(),
        next: Next {
            safe: safety.next_safe.clone(),
            heavy: safety.next_heavy.clone(),
            unsafe_now: safety.next_unsafe.clone(),
            alone: safety.next_alone.clone(),
            lines: safety.next_lines.clone(),
            company: safety.next_company.clone(),
            wrong: safety.next_wrong.clone(),
            other: safety.next_other.clone(),
        },
        danger_above: safety.danger_above,
        patterns: safety.patterns.clone().into(),
    }
}

/// Limits and times of all actors.
pub fn house_config(config: &Config) -> HouseConfig {
    let (talk, emotion, telegram) = (&config.conversation, &config.emotion, &config.telegram);
    let supervision = &config.supervision;
    let ms = Duration::from_millis;
    HouseConfig {
        conversation: ConversationConfig {
            burst_quiet: ms(talk.burst_quiet_ms),
            burst_max: ms(talk.burst_max_ms),
            max_cancels: talk.max_cancels,
            history_turns: talk.history_turns,
            reply_deadline: Duration::from_secs(talk.reply_deadline_s),
            idle_evict: Duration::from_secs(talk.idle_evict_s),
            max_message_chars: talk.max_message_chars,
            inbox_rows: talk.max_waiting_messages,
            streaming: telegram.streaming,
            ..ConversationConfig::default()
        },
        max_sessions: talk.max_sessions,
        emotion: EmotionSettings {
            batch_max: emotion.batch_max_messages,
            batch_wait: ms(emotion.batch_wait_ms),
            queue: emotion.queue_messages,
            deadline: ms(emotion.deadline_ms),
        },
        poller: PollerSettings { wait: Duration::from_secs(telegram.poll_timeout_s), ..PollerSettings::default() },
        outbox: OutboxSettings {
            ambiguous: match telegram.ambiguous_send {
                config::AmbiguousSend::Resend => outbox::AmbiguousSend::Resend,
                config::AmbiguousSend::Mark => outbox::AmbiguousSend::Mark,
            },
            preview_every: ms(telegram.preview_interval_ms),
            ..OutboxSettings::default()
        },
        intensity: Intensity {
            restarts: supervision.restart_intensity as usize,
            period: Duration::from_secs(supervision.restart_period_s),
        },
        restart_pause: (ms(supervision.backoff_min_ms), ms(supervision.backoff_max_ms)),
        grace: Duration::from_secs(supervision.shutdown_grace_s),
    }
}

/// Runs the actors until `stop`, then closes them in order. Must be awaited inside an actix system.
///
/// # Errors
/// What made the house give up.
pub async fn serve(parts: Parts, config: HouseConfig, windows: Windows, stop: CancellationToken) -> Result<()> {
    friend_actors::house::run(parts, config, windows, stop)
        .await
        .map_err(|fatal| anyhow::anyhow!("{} gave up: {}", fatal.actor, fatal.reason))
}

/// Cancelled at the first Ctrl-C or SIGTERM; the second ends the process at once.
pub fn stop_on_signal() -> CancellationToken {
    let stop = CancellationToken::new();
    let token = stop.clone();
    tokio::spawn(async move {
        signal().await;
        token.cancel();
        signal().await;
        end_process(130);
    });
    stop
}

async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        let _ = tokio::signal::ctrl_c().await;
        return;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

fn engine_config(config: &Config, resolved: &crate::models::ResolvedModel) -> EngineConfig {
    let model = &config.model;
    EngineConfig {
        adapter: resolved.adapter.clone(),
        context_tokens: model.context_tokens,
        slots: model.slots,
        lanes: model.lanes,
        kv_tokens: model.kv_tokens,
        kv_layout: match model.kv_layout {
            crate::config::KvLayout::Auto => KvLayout::Auto,
            crate::config::KvLayout::Unified => KvLayout::Unified,
            crate::config::KvLayout::Split => KvLayout::Split,
        },
        kv_keys: match model.kv_keys {
            crate::config::KvKeys::Auto => KvKeys::Auto,
            crate::config::KvKeys::F16 => KvKeys::F16,
            crate::config::KvKeys::Q8_0 => KvKeys::Q8_0,
        },
        batch_tokens: model.batch_tokens,
        queue: model.queue_requests,
        threads: model.threads,
        inter_token_target: Duration::from_millis(model.inter_token_target_ms),
        gpu_layers: model.gpu_layers,
        cache_ram_percent: model.cache_ram_percent,
        ..EngineConfig::for_model(&resolved.gguf)
    }
}

/// A folder as it is named, or beside the binary's project: a relative default must work from any working folder.
fn find_folder(folder: &Path) -> Option<PathBuf> {
    let beside = || {
        let binary = std::env::current_exe().ok()?;
        binary.ancestors().skip(1).take(4).map(|parent| parent.join(folder)).find(|found| found.is_dir())
    };
    if folder.is_dir() { Some(folder.to_owned()) } else { beside() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_conversation_gets_few_cells_unless_streams_were_asked_for_by_name() {
        let mut config = Config::default();
        assert_eq!(for_one(&config).model.kv_tokens, config.model.context_tokens * SINGLE_CONTEXTS);
        config.model.kv_layout = config::KvLayout::Split;
        let alone = for_one(&config).model;
        assert_eq!((alone.kv_tokens, alone.slots), (0, 2), "or the streams would be refused for want of cells");
    }

    #[test]
    fn in_the_terminal_one_waits_until_the_friend_has_given_an_answer_up() {
        let mut config = Config::default();
        config.conversation.reply_deadline_s = 30;
        config.conversation.burst_max_ms = 5000;
        // Held back as a burst, tried twice, with a pause of a second after each.
        assert!(patience(&config) > Duration::from_secs(5 + 2 * (30 + 1)));
    }
}

//! The emotion scorer: a text classifier in ONNX, run by ONNX Runtime on a thread of its own.
//!
//! Any classifier fits whose folder holds `model.onnx` (inputs `input_ids`, `attention_mask` and perhaps `token_type_ids`,
//! output: one logit a label), `tokenizer.json` and `config.json` with `id2label`. A second output `danger`, whose classes
//! `config.json` names, is read where there is one. Everything that can be wrong with such a
//! folder, or with ONNX Runtime's library, is found by [`OnnxScorer::start`]; after that a failure is a value, and the
//! conversation goes on without a score.

mod classifier;
mod encoder;
mod labels;

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    thread::JoinHandle,
};

use async_trait::async_trait;
use friend_actors::{
    ports::{ScoreError, Scorer},
    types::{Label, Reading},
};
use tokio::sync::{mpsc, oneshot};

pub use self::{classifier::Classifier, encoder::Encoder};
use crate::config;

/// The file name under which `make models` puts ONNX Runtime's shared library.
pub const LIBRARY: &str = "libonnxruntime.so.1.32.0";

/// Everything the scorer needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnnxConfig {
    /// Folder with `model.onnx`, `tokenizer.json` and `config.json`.
    pub model_dir: PathBuf,
    /// ONNX Runtime's shared library, 1.22 or later. One a process: all scorers share the first one's.
    pub library: PathBuf,
    /// The model's labels in our words, where they are not the same: `LABEL_0` → anger.
    pub label_map: BTreeMap<String, Label>,
    /// Longer messages keep their first and last halves of this many tokens ([`Encoder`]).
    pub max_length_tokens: usize,
    /// Calls of [`Scorer::score`] that may wait; more are refused as [`ScoreError::Overloaded`].
    pub queue: usize,
}

impl OnnxConfig {
    /// As the settings say; without a library named there, the one among the downloaded models.
    pub fn new(settings: &config::Emotion, models: &Path) -> Self {
        Self {
            model_dir: settings.model.clone(),
            library: settings.onnxruntime.clone().unwrap_or_else(|| models.join(LIBRARY)),
            label_map: settings.labels.clone(),
            max_length_tokens: settings.max_length_tokens as usize,
            queue: settings.queue_messages,
        }
    }
}

/// What fetches a library that stands among the models; of one that was named the usual way to get another.
fn fetching(library: &Path) -> String {
    let among = library.parent().filter(|_| library.ends_with(LIBRARY));
    among.map_or_else(|| "`make models`".to_owned(), config::make_models)
}

/// Why the scorer did not start: what is wrong, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum OnnxError {
    /// There is no such library.
    #[error(
        "ONNX Runtime's library {} is not there: run {}, or name another in ORT_DYLIB_PATH or emotion.onnxruntime",
        .0.display(),
        fetching(.0)
    )]
    NoLibrary(PathBuf),
    /// It is there, but cannot serve: not ONNX Runtime, or too old.
    #[error("ONNX Runtime's library {path} cannot be used: {why}. `make models` fetches one that fits")]
    Library {
        /// Which.
        path: PathBuf,
        /// In the loader's words.
        why: String,
    },
    /// A file of the model cannot be read or makes no sense.
    #[error("the emotion model's {file} is missing or damaged: {why}")]
    File {
        /// Which.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The graph takes or gives something else than a text classifier does.
    #[error("{file} is not a text classifier that can be used here: {why}")]
    Shape {
        /// Which.
        file: PathBuf,
        /// What does not fit.
        why: String,
    },
    /// Labels without a meaning, or meanings without a label.
    #[error(
        "the emotion model's labels do not fit: {why}. The model has: {model}; emotion.labels maps: {mapped}; ours are: {ours}"
    )]
    Labels {
        /// What does not fit.
        why: String,
        /// The model's side.
        model: String,
        /// The config's side.
        mapped: String,
        /// Our side.
        ours: String,
    },
    /// The operating system gave no thread.
    #[error("no thread could be started for the emotion scorer: {0}")]
    Thread(std::io::Error),
}

/// One call on its way to the thread.
struct Job {
    texts: Vec<String>,
    reply: oneshot::Sender<Result<Vec<Reading>, ScoreError>>,
}

/// The port, for real. Dropping it ends its thread.
pub struct OnnxScorer {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl OnnxScorer {
    /// Loads and tries everything on the new thread; returns once a first message was scored.
    ///
    /// # Errors
    /// Whatever is wrong with library, model, tokenizer or labels.
    pub fn start(config: OnnxConfig) -> Result<Self, OnnxError> {
        let (jobs, inbox) = mpsc::channel(config.queue.max(1));
        let (ready, started) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::Builder::new().name("emotion".into()).spawn(move || {
            // ONNX Runtime's bindings panic on a library that lies about itself. Nobody has written anything yet that its
            // words could quote.
            let loaded = catch_unwind(|| Classifier::load(&config)).unwrap_or_else(|panic| {
                let why = panic_text(panic.as_ref());
                Err(OnnxError::Library { path: config.library.clone(), why })
            });
            match loaded {
                Ok(classifier) => {
                    let _ = ready.send(Ok(()));
                    serve(classifier, inbox);
                }
                Err(error) => _ = ready.send(Err(error)),
            }
        });
        let thread = thread.map_err(OnnxError::Thread)?;
        match started.recv() {
            Ok(Ok(())) => Ok(Self { jobs: Some(jobs), thread: Some(thread) }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(OnnxError::Thread(std::io::Error::other("it ended at once"))),
        }
    }
}

/// The thread's life: one job after the other, none of which can end it.
fn serve(mut classifier: Classifier, mut inbox: mpsc::Receiver<Job>) {
    while let Some(Job { texts, reply }) = inbox.blocking_recv() {
        if reply.is_closed() {
            continue; // the deadline has passed: nobody waits any more
        }
        let _ = reply.send(caught(|| classifier.score(&texts)));
    }
}

/// A panic as a failure, without its own words: they may quote what a person wrote, and failures are logged.
fn caught<T>(work: impl FnOnce() -> Result<T, ScoreError>) -> Result<T, ScoreError> {
    let panicked = |_| Err(ScoreError::Model("it panicked; the log says where".to_owned()));
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(panicked)
}

/// A panic's own words.
fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("it panicked").to_owned()
}

#[async_trait]
impl Scorer for OnnxScorer {
    async fn score(&self, texts: Vec<String>) -> Result<Vec<Reading>, ScoreError> {
        let (reply, answer) = oneshot::channel();
        let jobs = self.jobs.as_ref().ok_or(ScoreError::Stopped)?;
        jobs.try_send(Job { texts, reply }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => ScoreError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => ScoreError::Stopped,
        })?;
        answer.await.unwrap_or(Err(ScoreError::Stopped))
    }
}

impl Drop for OnnxScorer {
    fn drop(&mut self) {
        self.jobs = None; // the thread ends after the job in hand
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_over_a_message_is_a_failure_that_does_not_quote_it() {
        let message = "my heartbroken words";
        let failure = caught::<Vec<Reading>>(|| panic!("byte 3 is no boundary of {message:?}")).unwrap_err();
        assert!(matches!(failure, ScoreError::Model(_)), "{failure}");
        assert!(!format!("{failure} {failure:?}").contains("heartbroken"), "{failure}");
        assert_eq!(caught(|| Ok(1)), Ok(1));
    }
}

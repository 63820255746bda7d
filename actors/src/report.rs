//! What happens in conversations, for those who watch: metrics, the demo's dim line. Never a word of anybody.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use friend_gguf::request::Usage;
use tokio::sync::broadcast;

use crate::messages::Felt;
use crate::mode::Choice;
use crate::types::ChatId;

/// How one turn was felt and answered.
#[derive(Clone, Debug, PartialEq)]
pub struct TurnReport {
    /// Whose turn.
    pub chat: ChatId,
    /// The message's own scores.
    pub felt: Felt,
    /// The mode, and the smoothed sums it stands on.
    pub choice: Choice,
    /// What the engine did; none if the person stopped it.
    pub usage: Option<Usage>,
    /// From the first look at the message to the reply.
    pub took: Duration,
}

/// Counters since the start of the process.
#[derive(Debug, Default)]
pub struct Counters {
    /// Turns answered by the model.
    pub answered: AtomicU64,
    /// Answers given up with an apology.
    pub gave_up: AtomicU64,
    /// Answers cancelled because more words came.
    pub outdated: AtomicU64,
    /// Answers drawn anew, or replaced by a written one, because they rejoiced at a sorrow.
    pub tactless: AtomicU64,
    /// Answers stopped by the person.
    pub stopped: AtomicU64,
    /// Messages answered with the written words of care.
    pub care: AtomicU64,
    /// Those of them in which only the classifier heard danger.
    pub care_by_classifier: AtomicU64,
    /// Messages answered with what is written for the talk after that.
    pub cared_after: AtomicU64,
    /// Messages taken as neutral because the scorer did not answer.
    pub unfelt: AtomicU64,
    /// Old turns left out of prompts because the context was full.
    pub dropped_turns: AtomicU64,
    /// Tokens generated in finished answers.
    pub new_tokens: AtomicU64,
}

/// Where sessions report to. Cheap to clone; a slow watcher misses reports and never slows a session.
#[derive(Clone, Debug)]
pub struct Observer {
    counters: Arc<Counters>,
    turns: broadcast::Sender<TurnReport>,
}

impl Default for Observer {
    fn default() -> Self {
        Self { counters: Arc::default(), turns: broadcast::channel(64).0 }
    }
}

impl Observer {
    /// All counters.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Reports of all turns from now on.
    pub fn watch(&self) -> broadcast::Receiver<TurnReport> {
        self.turns.subscribe()
    }

    /// A turn was answered, or stopped.
    pub fn turn(&self, report: TurnReport) {
        let counters = &self.counters;
        match &report.usage {
            Some(usage) => {
                counters.answered.fetch_add(1, Relaxed);
                counters.dropped_turns.fetch_add(usage.dropped_turns.into(), Relaxed);
                counters.new_tokens.fetch_add(usage.new_tokens.into(), Relaxed);
            }
            None => {
                counters.stopped.fetch_add(1, Relaxed);
            }
        }
        counters.unfelt.fetch_add(report.felt.degraded.into(), Relaxed);
        tracing::info!(
            chat = report.chat.0,
            mode = report.choice.mode,
            negative = f64::from(report.choice.negative),
            positive = f64::from(report.choice.positive),
            took_ms = report.took.as_millis() as u64,
            new_tokens = report.usage.map(|usage| usage.new_tokens),
            "answered"
        );
        let _ = self.turns.send(report);
    }

    /// An answer was given up with an apology.
    pub fn gave_up(&self) {
        self.counters.gave_up.fetch_add(1, Relaxed);
    }

    /// New words cancelled an answer.
    pub fn outdated(&self) {
        self.counters.outdated.fetch_add(1, Relaxed);
    }

    /// An answer rejoiced at a sorrow, and was not said.
    pub fn tactless(&self) {
        self.counters.tactless.fetch_add(1, Relaxed);
    }

    /// What is written for the talk after words of danger was said.
    pub fn cared_after(&self) {
        self.counters.cared_after.fetch_add(1, Relaxed);
    }

    /// The written words of care were said, for plain words or for what only the classifier heard.
    pub fn care(&self, by_classifier: bool) {
        self.counters.care.fetch_add(1, Relaxed);
        self.counters.care_by_classifier.fetch_add(by_classifier.into(), Relaxed);
    }
}

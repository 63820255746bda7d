//! The Emotion actor: gathers messages that arrive together into one run of the classifier, and never keeps anyone
//! waiting for long. Without the classifier every message is neutral.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use actix::{Actor, AsyncContext as _, Context, Handler, ResponseFuture, Supervised};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::messages::{Felt, ScoreText};
use crate::ports::{ScoreError, Scorer};
use crate::supervisor::{Guarded, Lifeline, Supervision, guarded, spawn_guarded};
use crate::types::Reading;

/// What the actor works with.
pub struct EmotionParts {
    /// The classifier.
    pub scorer: Arc<dyn Scorer>,
    /// Limits and times.
    pub settings: EmotionSettings,
    /// For metrics.
    pub counters: Arc<EmotionCounters>,
    /// Counts restarts.
    pub supervision: Supervision,
}

/// Limits and times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EmotionSettings {
    /// Most messages in one run.
    pub batch_max: usize,
    /// How long a first message waits for company.
    pub batch_wait: Duration,
    /// Most messages waiting; further ones are neutral at once.
    pub queue: usize,
    /// After this a message is taken as neutral.
    pub deadline: Duration,
}

impl Default for EmotionSettings {
    fn default() -> Self {
        Self { batch_max: 32, batch_wait: Duration::from_millis(4), queue: 1024, deadline: Duration::from_millis(1500) }
    }
}

/// Counted since the start of the process.
#[derive(Debug, Default)]
pub struct EmotionCounters {
    /// Messages scored.
    pub scored: AtomicU64,
    /// Runs of the classifier.
    pub runs: AtomicU64,
    /// Messages taken as neutral: too late.
    pub late: AtomicU64,
    /// Messages taken as neutral: too many waiting.
    pub shed: AtomicU64,
    /// Runs that failed.
    pub failed: AtomicU64,
}

/// See the module's text.
pub struct Emotion {
    parts: EmotionParts,
    waiting: VecDeque<Waiting>,
    running: bool,
    gathering: bool,
    _lifeline: Lifeline,
}

struct Waiting {
    text: String,
    answer: oneshot::Sender<Reading>,
}

impl Emotion {
    /// An actor in front of a started classifier.
    pub fn new(parts: EmotionParts) -> Self {
        let lifeline = parts.supervision.lifeline(Self::NAME);
        Self { parts, waiting: VecDeque::new(), running: false, gathering: false, _lifeline: lifeline }
    }

    /// Waits for company, then runs. While a run is under way the next batch gathers by itself.
    fn gather(&mut self, ctx: &mut Context<Self>) {
        if self.running || self.waiting.is_empty() {
            return;
        }
        let full = self.waiting.len() >= self.parts.settings.batch_max;
        if full || self.parts.settings.batch_wait.is_zero() {
            self.score(ctx);
        } else if !std::mem::replace(&mut self.gathering, true) {
            ctx.run_later(self.parts.settings.batch_wait, |emotion, ctx| guarded(emotion, ctx, Self::score));
        }
    }

    fn score(&mut self, ctx: &mut Context<Self>) {
        self.gathering = false;
        if self.running {
            return;
        }
        // Nobody listens any more to those whose deadline has passed.
        self.waiting.retain(|waiting| !waiting.answer.is_closed());
        let size = self.waiting.len().min(self.parts.settings.batch_max);
        if size == 0 {
            return;
        }
        self.running = true;
        let (texts, answers): (Vec<_>, Vec<_>) =
            self.waiting.drain(..size).map(|waiting| (waiting.text, waiting.answer)).unzip();
        let scorer = self.parts.scorer.clone();
        let deadline = self.parts.settings.deadline;
        let run = async move {
            // A run that nobody waits for any more must not keep the next one from starting.
            let late = || Err(ScoreError::Model("no answer before the deadline".to_owned()));
            timeout(deadline, scorer.score(texts)).await.unwrap_or_else(|_| late())
        };
        spawn_guarded(ctx, run, |emotion, scored, ctx| {
            emotion.running = false;
            emotion.answer(scored, answers);
            emotion.gather(ctx);
        });
    }

    fn answer(&self, scored: Result<Vec<Reading>, ScoreError>, answers: Vec<oneshot::Sender<Reading>>) {
        let counters = &self.parts.counters;
        counters.runs.fetch_add(1, Relaxed);
        match scored {
            Ok(readings) if readings.len() == answers.len() => {
                counters.scored.fetch_add(readings.len() as u64, Relaxed);
                for (answer, reading) in answers.into_iter().zip(readings) {
                    let _ = answer.send(reading);
                }
            }
            Ok(readings) => {
                counters.failed.fetch_add(1, Relaxed);
                tracing::error!(asked = answers.len(), given = readings.len(), "the emotion model gave too few scores");
            }
            Err(error) => {
                counters.failed.fetch_add(1, Relaxed);
                tracing::warn!(%error, messages = answers.len(), "these messages are taken as neutral");
            }
        }
    }
}

impl Actor for Emotion {
    type Context = Context<Self>;
}

impl Supervised for Emotion {
    fn restarting(&mut self, ctx: &mut Context<Self>) {
        self.parts.supervision.restarted(Self::NAME);
        (self.running, self.gathering) = (false, false);
        ctx.run_later(Duration::ZERO, |emotion, ctx| guarded(emotion, ctx, Self::gather));
    }
}

impl Guarded for Emotion {
    const NAME: &'static str = "emotion";
}

impl Handler<ScoreText> for Emotion {
    type Result = ResponseFuture<Felt>;

    fn handle(&mut self, ScoreText { text }: ScoreText, ctx: &mut Context<Self>) -> Self::Result {
        let EmotionSettings { queue, deadline, .. } = self.parts.settings;
        let counters = self.parts.counters.clone();
        if self.waiting.len() >= queue {
            counters.shed.fetch_add(1, Relaxed);
            return Box::pin(async { Felt::NOTHING });
        }
        let (answer, answered) = oneshot::channel();
        guarded(self, ctx, |emotion, ctx| {
            emotion.parts.supervision.trip(Self::NAME);
            emotion.waiting.push_back(Waiting { text, answer });
            emotion.gather(ctx);
        });
        Box::pin(async move {
            match timeout(deadline, answered).await {
                Ok(Ok(Reading { scores, danger })) => Felt { scores, danger, degraded: false, plain: false },
                Ok(Err(_)) => Felt::NOTHING,
                Err(_) => {
                    counters.late.fetch_add(1, Relaxed);
                    Felt::NOTHING
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::Intensity;
    use crate::types::Scores;
    use actix::{Addr, Supervisor};
    use std::sync::Mutex;

    /// Joy in the share of its call's size, after a delay; records batch sizes.
    #[derive(Default)]
    struct Scripted {
        delay: Duration,
        broken: bool,
        batches: Mutex<Vec<usize>>,
    }

    #[async_trait::async_trait]
    impl Scorer for Scripted {
        async fn score(&self, texts: Vec<String>) -> Result<Vec<Reading>, ScoreError> {
            self.batches.lock().unwrap().push(texts.len());
            tokio::time::sleep(self.delay).await;
            if texts.iter().any(|text| text == "hang") {
                std::future::pending::<()>().await;
            }
            if self.broken {
                Err(ScoreError::Stopped)
            } else {
                let scores = Scores([0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]);
                Ok(vec![Reading { scores, danger: None }; texts.len()])
            }
        }
    }

    fn start(scorer: &Arc<Scripted>, settings: EmotionSettings) -> (Addr<Emotion>, Arc<EmotionCounters>, Supervision) {
        let counters = Arc::<EmotionCounters>::default();
        let (supervision, _) = Supervision::new(Intensity::default());
        let parts = EmotionParts {
            scorer: scorer.clone(),
            settings,
            counters: counters.clone(),
            supervision: supervision.clone(),
        };
        (Supervisor::start(move |_| Emotion::new(parts)), counters, supervision)
    }

    fn ask(text: &str) -> ScoreText {
        ScoreText { text: text.into() }
    }

    #[actix::test]
    async fn messages_that_arrive_together_are_scored_in_one_run() {
        tokio::time::pause();
        let scorer = Arc::new(Scripted { delay: Duration::from_millis(10), ..Default::default() });
        let (emotion, _, _) = start(&scorer, EmotionSettings { batch_max: 4, ..Default::default() });
        let asked = (0..10).map(|_| emotion.send(ask("hi")));
        let felt = futures_util::future::join_all(asked).await;
        assert!(felt.into_iter().all(|felt| !felt.unwrap().degraded));
        assert_eq!(*scorer.batches.lock().unwrap(), [4, 4, 2]);
    }

    #[actix::test]
    async fn a_late_scorer_means_neutral_and_is_counted() {
        tokio::time::pause();
        let scorer = Arc::new(Scripted { delay: Duration::from_secs(60), ..Default::default() });
        let (emotion, counters, _) = start(&scorer, EmotionSettings::default());
        assert_eq!(emotion.send(ask("hi")).await.unwrap(), Felt::NOTHING);
        assert_eq!(counters.late.load(Relaxed), 1);
    }

    #[actix::test]
    async fn a_scorer_that_hangs_once_scores_the_next_message() {
        tokio::time::pause();
        let (emotion, _, _) = start(&Arc::new(Scripted::default()), EmotionSettings::default());
        assert!(emotion.send(ask("hang")).await.unwrap().degraded);
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(!emotion.send(ask("hi")).await.unwrap().degraded);
    }

    #[actix::test]
    async fn a_broken_scorer_means_neutral_at_once() {
        let scorer = Arc::new(Scripted { broken: true, ..Default::default() });
        let (emotion, counters, _) = start(&scorer, EmotionSettings::default());
        assert_eq!(emotion.send(ask("hi")).await.unwrap(), Felt::NOTHING);
        assert_eq!((counters.failed.load(Relaxed), counters.late.load(Relaxed)), (1, 0));
    }

    #[actix::test]
    async fn too_many_waiting_are_shed() {
        tokio::time::pause();
        let scorer = Arc::new(Scripted { delay: Duration::from_secs(1), ..Default::default() });
        let settings = EmotionSettings { queue: 2, batch_max: 1, batch_wait: Duration::ZERO, ..Default::default() };
        let (emotion, counters, _) = start(&scorer, settings);
        let felt = futures_util::future::join_all((0..5).map(|_| emotion.send(ask("hi")))).await;
        let degraded = felt.into_iter().filter(|felt| felt.as_ref().unwrap().degraded).count() as u64;
        assert_eq!(counters.shed.load(Relaxed), 2, "one runs, two wait");
        assert_eq!(degraded, 2 + counters.late.load(Relaxed));
    }

    #[actix::test]
    async fn those_who_wait_survive_a_panic() {
        let scorer = Arc::new(Scripted::default());
        let (emotion, _, supervision) = start(&scorer, EmotionSettings::default());
        let waiting = emotion.send(ask("first"));
        supervision.arm("emotion", 1);
        let lost = emotion.send(ask("second"));
        let (waiting, lost) = futures_util::future::join(waiting, lost).await;
        assert_eq!(supervision.restarts().get("emotion"), Some(&1));
        let degraded = [waiting, lost].map(|felt| felt.unwrap().degraded);
        assert!(degraded.contains(&true) && degraded.contains(&false), "one lost its question, the other not");
    }
}

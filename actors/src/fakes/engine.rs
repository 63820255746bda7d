//! An engine in memory, on tokio's clock: says what a script tells it, word by word, and remembers what it was asked.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use friend_gguf::request::{
    Cancel, Completion, Engine, EngineStatus, Finish, GenerateError, ModelInfo, OwnerId, Request, SubmitError, Ticket,
    Usage,
};
use tokio::sync::{mpsc, oneshot};

/// Answers every request with what its script says next, or, when that is empty, with `re: ` and the newest message.
#[derive(Debug, Default)]
pub struct FakeEngine {
    state: Arc<Mutex<State>>,
    model: ModelInfo,
}

/// What the engine does with one request.
#[derive(Clone, Debug)]
pub enum Play {
    /// Says these words.
    Say(String),
    /// Does not take it.
    Refuse(SubmitError),
    /// Takes it and fails.
    Fail(GenerateError),
    /// Says these words, and then its time is up.
    Expire(String),
    /// Takes it and ends without an outcome, as an engine does whose thread dies.
    Vanish,
}

#[derive(Debug, Default)]
struct State {
    script: VecDeque<Play>,
    /// Time of one word.
    pace: Duration,
    /// What tickets say of how long they wait.
    wait: Duration,
    /// Characters of prefix, newest turn and tail that fit; 0 is no bound.
    context_chars: usize,
    requests: Vec<Request>,
    busy: HashSet<OwnerId>,
    forgotten: Vec<OwnerId>,
    cancelled: usize,
    most_at_once: usize,
}

impl FakeEngine {
    /// An engine that answers at once.
    pub fn new() -> Self {
        Self::default()
    }

    /// Every word takes this long.
    pub fn pace(&self, pace: Duration) {
        self.state().pace = pace;
    }

    /// Tickets say that they wait about this long for a slot.
    pub fn wait(&self, wait: Duration) {
        self.state().wait = wait;
    }

    /// What happens with the next requests, one after the other.
    pub fn play(&self, plays: impl IntoIterator<Item = Play>) {
        self.state().script.extend(plays);
    }

    /// Longer prompts (without their old turns) are refused; 0 takes all.
    pub fn context_chars(&self, chars: usize) {
        self.state().context_chars = chars;
    }

    /// Every request so far, refused ones too.
    pub fn requests(&self) -> Vec<Request> {
        self.state().requests.clone()
    }

    /// Requests that were cancelled before their end.
    pub fn cancelled(&self) -> usize {
        self.state().cancelled
    }

    /// Owners whose lanes were dropped.
    pub fn forgotten(&self) -> Vec<OwnerId> {
        self.state().forgotten.clone()
    }

    /// The most requests that ran at the same time.
    pub fn most_at_once(&self) -> usize {
        self.state().most_at_once
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // A test that panicked holding the lock has failed anyway; others may go on.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The newest message of a prompt, without the speaker's name.
fn newest(request: &Request) -> String {
    let pieces = request.prompt.turns.last().into_iter().flatten();
    let line: String = pieces.map(|piece| piece.text.as_str()).collect();
    line.trim().trim_start_matches("Person: ").to_owned()
}

impl Engine for FakeEngine {
    fn submit(&self, request: Request) -> Result<Ticket, SubmitError> {
        let mut state = self.state();
        state.requests.push(request.clone());
        if state.busy.contains(&request.owner) {
            return Err(SubmitError::Busy);
        }
        let play = state.script.pop_front().unwrap_or_else(|| Play::Say(format!("re: {}", newest(&request))));
        if let Play::Refuse(error) = play {
            return Err(error);
        }
        state.busy.insert(request.owner);
        state.most_at_once = state.most_at_once.max(state.busy.len());
        let needed = {
            let parts = request.prompt.prefix.iter().chain(&request.prompt.own).chain(&request.prompt.tail);
            parts.chain(request.prompt.turns.last().into_iter().flatten()).map(|piece| piece.text.chars().count()).sum()
        };
        let available = state.context_chars;
        let too_long = available > 0 && needed > available;
        let play = if too_long { Play::Fail(GenerateError::PromptTooLong { needed, available }) } else { play };
        let (sender, text) = mpsc::channel(1024);
        let (done, outcome) = oneshot::channel();
        let cancel = Cancel::default();
        let job = Job { owner: request.owner, pace: state.pace, cancel: cancel.clone(), text: sender };
        let shared = Arc::clone(&self.state);
        tokio::spawn(async move {
            let owner = job.owner;
            let result = job.run(play).await;
            let mut state = lock(&shared);
            state.busy.remove(&owner);
            state.cancelled += usize::from(result == Some(Err(GenerateError::Cancelled)));
            if let Some(result) = result {
                let _ = done.send(result);
            }
        });
        Ok(Ticket { text, done: outcome, cancel, wait: state.wait })
    }

    fn forget(&self, owner: OwnerId) {
        self.state().forgotten.push(owner);
    }

    fn model(&self) -> &ModelInfo {
        &self.model
    }

    fn status(&self) -> EngineStatus {
        EngineStatus { active: self.state().busy.len(), ..EngineStatus::default() }
    }
}

struct Job {
    owner: OwnerId,
    pace: Duration,
    cancel: Cancel,
    text: mpsc::Sender<String>,
}

impl Job {
    async fn run(self, play: Play) -> Option<Result<Completion, GenerateError>> {
        let expires = matches!(play, Play::Expire(_));
        let said = match play {
            Play::Say(said) | Play::Expire(said) => said,
            Play::Fail(error) => return Some(Err(error)),
            Play::Vanish | Play::Refuse(_) => return None,
        };
        let mut new_tokens = 0;
        for word in said.split_inclusive(' ') {
            tokio::time::sleep(self.pace).await;
            if self.cancel.is_cancelled() || self.text.try_send(word.to_owned()).is_err() {
                return Some(Err(GenerateError::Cancelled));
            }
            new_tokens += 1;
        }
        if expires {
            return Some(Err(GenerateError::Expired));
        }
        let usage = Usage { new_tokens, ..Usage::default() };
        Some(Ok(Completion { text: said, finish: Finish::Stop, usage }))
    }
}

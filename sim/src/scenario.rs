//! A load scenario: so many users, so many turns each, at a given pace, from a seed.
//!
//! Users are closed loops, as people are: nobody writes the next message before the last was answered. A closed loop
//! hides the waits of a slow bot, because the slower it is the less it is asked (coordinated omission, Gil Tene). So
//! each user also keeps the time at which the message was due by the plan, and the report gives both figures.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::bot_api::{Control, Entry, Event};
use crate::report::{Report, Turn};
use crate::user::{self, Plan, Wording};

/// Ledger lines that wait for one simulated user at most. A reply makes some dozens.
const INBOX: usize = 4096;

/// What is played. `Scenario::default()` is one user with four turns and no pauses.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Users at once.
    pub users: usize,
    /// Messages of each user.
    pub turns: usize,
    /// Mean time from one due message to the next of the same user; each gap is drawn between half and one and a half
    /// of it. Zero: the next message follows the answer at once.
    pub pace: Duration,
    /// The users begin spread over this time.
    pub ramp: Duration,
    /// How long a user waits for an answer before giving up on it, and on the rest of their messages.
    pub patience: Duration,
    /// How the bot's messages begin that only put an answer off ("I'm busy, I won't forget"). Users go on waiting. An
    /// empty beginning counts for nothing.
    pub put_off: Vec<String>,
    /// How the bot's messages begin that say that no answer will come. The message has failed; the user goes on. An
    /// empty beginning counts for nothing.
    pub apologies: Vec<String>,
    /// Whether each user sends `/start` first, which is not measured.
    pub start_command: bool,
    /// The first user's id; the others follow.
    pub first_user: i64,
    /// Draws texts, moods and gaps.
    pub seed: u64,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            users: 1,
            turns: 4,
            pace: Duration::ZERO,
            ramp: Duration::ZERO,
            patience: Duration::from_secs(120),
            put_off: Vec::new(),
            apologies: Vec::new(),
            start_command: true,
            first_user: 5_000_000,
            seed: 0,
        }
    }
}

impl Scenario {
    /// Plays the scenario against the bot that polls the emulator behind `control`.
    pub async fn run(&self, control: &Control) -> Report {
        let (done, _) = watch::channel(0);
        self.run_with_progress(control, done).await
    }

    /// As [`Scenario::run`], telling the number of finished turns as it grows.
    pub async fn run_with_progress(&self, control: &Control, done: watch::Sender<usize>) -> Report {
        let began = control.now();
        let mut inboxes = HashMap::new();
        let mut users = JoinSet::new();
        let done = Arc::new(done);
        for n in 0..self.users {
            let id = self.first_user + i64::try_from(n).unwrap_or(0);
            let (to_user, inbox) = mpsc::channel(INBOX);
            inboxes.insert(id, to_user);
            let player = control.user(id, NAMES[n % NAMES.len()]);
            users.spawn(user::play(control.clone(), player, inbox, self.plan(n), Arc::clone(&done)));
        }
        let postman = tokio::spawn(deliver(control.clone(), inboxes));
        let turns: Vec<Turn> = users.join_all().await.into_iter().flatten().collect();
        postman.abort();
        Report::new(self.users, control.now().saturating_sub(began), &turns)
    }

    fn plan(&self, n: usize) -> Plan {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed.wrapping_add(n as u64 * 0x9e37_79b9));
        let share = n as f64 / self.users.max(1) as f64;
        let gap = |rng: &mut ChaCha8Rng| self.pace.mul_f64(rng.random_range(0.5..1.5));
        Plan {
            begin: self.ramp.mul_f64(share),
            gaps: (0..self.turns).map(|_| gap(&mut rng)).collect(),
            texts: crate::script::conversation(&mut rng, self.turns),
            patience: self.patience,
            start_command: self.start_command,
            wording: Wording { put_off: self.put_off.clone(), apologies: self.apologies.clone() },
        }
    }
}

const NAMES: [&str; 8] = ["Anna", "Ben", "Chloe", "Daniel", "Emma", "Farid", "Grace", "Hugo"];

/// Brings each user what they saw. One reader of the ledger for all of them: if each waited on it alone, every line
/// would wake every user.
async fn deliver(control: Control, inboxes: HashMap<i64, mpsc::Sender<Arc<Entry>>>) {
    let mut seen = control.mark();
    loop {
        let newest = control.wait_for(seen, Duration::from_secs(3600), |entry| is_sight(&entry.event)).await;
        let Ok(newest) = newest else { continue };
        // From the first sight on, take all that has come since.
        for entry in control.ledger(newest.seq - 1) {
            seen = entry.seq;
            let inbox = entry.chat.and_then(|chat| inboxes.get(&chat));
            if let Some(inbox) = inbox.filter(|_| is_sight(&entry.event)) {
                // A full inbox belongs to a user who is flooded; what they miss counts as not seen.
                let _ = inbox.try_send(entry);
            }
        }
    }
}

fn is_sight(event: &Event) -> bool {
    matches!(event, Event::SawDraft { .. } | Event::SawMessage { .. } | Event::SawAction { .. })
}

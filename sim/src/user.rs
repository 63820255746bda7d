//! One simulated user: writes when the message is due and the last answer is there, and takes the times.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout_at};

use crate::bot_api::{Control, Entry, Event, User};
use crate::report::Turn;
use crate::script::Line;

/// What one user will do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// When the first message is due, from the scenario's start.
    pub begin: Duration,
    /// From each due message to the next.
    pub gaps: Vec<Duration>,
    /// What is written.
    pub texts: Vec<Line>,
    /// How long an answer is waited for.
    pub patience: Duration,
    /// Whether `/start` comes first.
    pub start_command: bool,
}

/// Plays `plan` and returns what was measured, one [`Turn`] a message.
pub async fn play(
    control: Control,
    user: User,
    mut inbox: mpsc::Receiver<Arc<Entry>>,
    plan: Plan,
    done: Arc<watch::Sender<usize>>,
) -> Vec<Turn> {
    let mut turns = Vec::with_capacity(plan.texts.len());
    tokio::time::sleep(plan.begin).await;
    if plan.start_command {
        let sent = user.say("/start");
        wait_for_answer(&mut inbox, sent.seq, plan.patience).await;
    }
    let mut due = control.now();
    for (line, gap) in plan.texts.iter().zip(&plan.gaps) {
        tokio::time::sleep(due.saturating_sub(control.now())).await;
        let written = control.now();
        if gap.is_zero() {
            due = written;
        }
        let sent = user.say(line.text);
        let seen = wait_for_answer(&mut inbox, sent.seq, plan.patience).await;
        let since = |at: Option<Duration>| at.map(|at| at.saturating_sub(written));
        turns.push(Turn {
            mood: line.mood,
            late: written.saturating_sub(due),
            first_action: since(seen.action),
            first_text: since(seen.text),
            answer: since(seen.answer),
            words: seen.words,
        });
        done.send_modify(|turns| *turns += 1);
        due += *gap;
    }
    turns
}

/// When the signs of one answer were seen, by the ledger's clock.
#[derive(Default)]
struct Seen {
    action: Option<Duration>,
    text: Option<Duration>,
    answer: Option<Duration>,
    words: usize,
}

async fn wait_for_answer(inbox: &mut mpsc::Receiver<Arc<Entry>>, since: u64, patience: Duration) -> Seen {
    let (mut seen, until) = (Seen::default(), Instant::now() + patience);
    while let Ok(Some(entry)) = timeout_at(until, inbox.recv()).await {
        if entry.seq <= since {
            continue;
        }
        match &entry.event {
            Event::SawAction { .. } => drop(seen.action.get_or_insert(entry.at)),
            Event::SawDraft { text, .. } if !text.is_empty() => drop(seen.text.get_or_insert(entry.at)),
            Event::SawMessage { text, .. } => {
                seen.text.get_or_insert(entry.at);
                seen.answer = Some(entry.at);
                seen.words = text.split_whitespace().count();
                return seen;
            }
            _ => {}
        }
    }
    seen
}

//! One simulated user: writes when the message is due and the last answer is there, and takes the times.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout_at};

use crate::bot_api::{Control, Entry, Event, User};
use crate::report::{Ending, Turn};
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
    /// What is not the answer yet.
    pub wording: Wording,
}

/// How messages begin that stand where an answer was expected. Empty beginnings count for nothing: every text has them.
#[derive(Clone, Debug, Default)]
pub struct Wording {
    /// "I'm busy, I won't forget to answer": the answer is still owed.
    pub put_off: Vec<String>,
    /// "Something went wrong": no answer will come.
    pub apologies: Vec<String>,
}

/// Plays `plan` and returns what was measured, one [`Turn`] a message.
///
/// Who has given up on an answer writes nothing more: it may still come, and would be taken for the answer to the next
/// message. The rest of the plan counts as unanswered too.
pub async fn play(
    control: Control,
    user: User,
    mut inbox: mpsc::Receiver<Arc<Entry>>,
    plan: Plan,
    done: Arc<watch::Sender<usize>>,
) -> Vec<Turn> {
    let mut turns = Vec::with_capacity(plan.texts.len());
    tokio::time::sleep(plan.begin).await;
    let mut gave_up = false;
    if plan.start_command {
        let sent = user.say("/start");
        gave_up = wait_for_answer(&mut inbox, sent.seq, &plan).await.end == End::GaveUp;
    }
    let mut due = control.now();
    for (line, gap) in plan.texts.iter().zip(&plan.gaps) {
        let turn = if gave_up {
            Turn::unwritten(line.mood, plan.patience)
        } else {
            tokio::time::sleep(due.saturating_sub(control.now())).await;
            let written = control.now();
            if gap.is_zero() {
                due = written;
            }
            let sent = user.say(line.text);
            let seen = wait_for_answer(&mut inbox, sent.seq, &plan).await;
            gave_up = seen.end == End::GaveUp;
            let since = |at: Duration| at.saturating_sub(written);
            Turn {
                mood: line.mood,
                late: written.saturating_sub(due),
                first_action: seen.action.map(since),
                first_text: seen.text.map(since),
                put_off: seen.put_off,
                ending: match seen.end {
                    End::Answered(at) => Ending::Answered(since(at)),
                    End::Failed => Ending::Failed,
                    End::GaveUp => Ending::Unanswered,
                },
                patience: plan.patience,
                words: seen.words,
            }
        };
        turns.push(turn);
        done.send_modify(|turns| *turns += 1);
        due += *gap;
    }
    turns
}

/// How the wait for an answer ended, by the ledger's clock.
#[derive(Clone, Copy, Default, PartialEq)]
enum End {
    Answered(Duration),
    Failed,
    #[default]
    GaveUp,
}

/// When the signs of one answer were seen, by the ledger's clock.
#[derive(Default)]
struct Seen {
    action: Option<Duration>,
    text: Option<Duration>,
    put_off: bool,
    end: End,
    words: usize,
}

async fn wait_for_answer(inbox: &mut mpsc::Receiver<Arc<Entry>>, since: u64, plan: &Plan) -> Seen {
    let (mut seen, until) = (Seen::default(), Instant::now() + plan.patience);
    while let Ok(Some(entry)) = timeout_at(until, inbox.recv()).await {
        if entry.seq <= since {
            continue;
        }
        match &entry.event {
            Event::SawAction { .. } => drop(seen.action.get_or_insert(entry.at)),
            Event::SawDraft { text, .. } if !text.is_empty() => drop(seen.text.get_or_insert(entry.at)),
            Event::SawMessage { text, .. } if begins(text, &plan.wording.put_off) => seen.put_off = true,
            Event::SawMessage { text, .. } if begins(text, &plan.wording.apologies) => {
                seen.end = End::Failed;
                return seen;
            }
            Event::SawMessage { text, .. } => {
                seen.text.get_or_insert(entry.at);
                seen.end = End::Answered(entry.at);
                seen.words = text.split_whitespace().count();
                return seen;
            }
            _ => {}
        }
    }
    seen
}

fn begins(text: &str, beginnings: &[String]) -> bool {
    beginnings.iter().any(|beginning| !beginning.is_empty() && text.starts_with(beginning))
}

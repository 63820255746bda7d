//! A scorer in memory: feels what a message names, and hears danger where it is told to.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use crate::ports::{ScoreError, Scorer};
use crate::types::{Danger, Label, Reading, Scores};

/// Nine tenths of the first emotion whose name stands in the text ("joy", "anger"), else neutral.
#[derive(Debug, Default)]
pub struct FakeScorer {
    state: Mutex<State>,
}

#[derive(Clone, Debug, Default)]
struct State {
    delay: Duration,
    broken: bool,
    dangers: Vec<(String, Danger)>,
    deaf_above: Option<usize>,
}

impl FakeScorer {
    /// A scorer that answers at once.
    pub fn new() -> Self {
        Self::default()
    }

    /// Every run from now on takes this long, on tokio's clock.
    pub fn delay(&self, delay: Duration) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).delay = delay;
    }

    /// Whether every run from now on fails.
    pub fn broken(&self, broken: bool) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).broken = broken;
    }

    /// From now on it hears this in messages that hold these words.
    pub fn hears(&self, words: &str, danger: Danger) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.dangers.push((words.to_owned(), danger));
    }

    /// From now on it hears nothing in messages of more characters.
    pub fn hears_only_short(&self, most_chars: usize) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).deaf_above = Some(most_chars);
    }
}

#[async_trait]
impl Scorer for FakeScorer {
    async fn score(&self, texts: Vec<String>) -> Result<Vec<Reading>, ScoreError> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner).clone();
        tokio::time::sleep(state.delay).await;
        if state.broken {
            return Err(ScoreError::Model("it is broken on purpose".to_owned()));
        }
        let is_heard = |text: &str| state.deaf_above.is_none_or(|most| text.chars().count() <= most);
        let danger = |text: &String| {
            let mut known = state.dangers.iter().filter(|(words, _)| is_heard(text) && text.contains(words));
            known.next().map(|(_, danger)| *danger)
        };
        Ok(texts.iter().map(|text| Reading { scores: feel(text), danger: danger(text) }).collect())
    }
}

fn feel(text: &str) -> Scores {
    let Some(label) = Label::ALL.into_iter().find(|label| text.contains(label.name())) else { return Scores::NEUTRAL };
    let mut scores = Scores([0.0; 7]);
    scores.0[Label::Neutral as usize] = 0.1;
    scores.0[label as usize] += 0.9;
    scores
}

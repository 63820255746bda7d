//! Words that must not be left to a model: self-harm, the sincere question whether this is a bot, and joy at a sorrow.
//!
//! All are recognised by patterns: they have to work with every model and every persona, and a person who reads them can tell
//! what they catch. Those of danger are written for plain statements, and miss what is only hinted at: `tests` says of which kinds, and how
//! many of a set of messages they find. Hints are left to the classifier, where it was taught to hear them ([`Safety::heard`]).

mod bad_news;
mod bot_question;
mod danger;
mod harmless;
mod next;
mod others;
mod rejoicing;
mod rules;
mod self_harm;
#[cfg(test)]
mod tests;
mod thanks;
mod words;

use regex::{RegexSet, RegexSetBuilder};
use serde::Serialize;

use crate::types::Danger;

pub use bad_news::is_bad_news;
pub use bot_question::{BotQuestion, bot_question};
pub use next::{ALONE, COMPANY, HEAVY, LINES, Next, OTHER, SAFE, UNSAFE, WRONG};
pub(crate) use next::{Told, told};
pub(crate) use rejoicing::rejoices;
pub use thanks::is_bare_thanks;

/// The answer to someone in danger, where the operator wrote none.
pub const ANSWER: &str = "I'm really glad you told me, and I'm sorry it hurts this much. I'm a bot, and you deserve \
    a person right now. If you might act on this, please call your emergency number (112 in Europe, 911 in the US and \
    Canada). You can talk to someone any hour: 988 in the US and Canada, 116 123 in the UK and Ireland, and \
    findahelpline.com lists free lines in other countries. Is there someone near you who could sit with you? I'm still \
    here, and you can keep writing to me.";

/// The answer to who says it again in the same talk, where the operator wrote none.
pub const ANSWER_AGAIN: &str = "I'm still here, and I still want you safe. Have you reached someone yet? If not, please do \
    it while we write: your emergency number, 988 in the US and Canada, 116 123 in the UK and Ireland, or \
    findahelpline.com. If something near you could hurt you, can you go into another room?";

/// The answer to who worries about someone else, where the operator wrote none.
pub const ANSWER_OTHER: &str = "That's frightening, and it's good that you take it seriously. Ask them straight whether they \
    think of dying: asking doesn't put the thought there. If they might act on it, stay with them and call the emergency \
    number (112 in Europe, 911 in the US and Canada). 988, 116 123 and findahelpline.com also help people who worry about \
    someone. How are you holding up?";

/// The answer to bare thanks for one of the others, where the operator wrote none. The classifier may have been mistaken, too.
pub const ANSWER_THANKS: &str = "Okay. I'm still here, and you can write about this or about anything else. If it gets heavier, \
    please call someone, at any hour. And if I got you wrong, just say so.";

/// The probability above which the classifier's hearing counts. The shipped one is calibrated for it: see its card.
pub const DANGER_ABOVE: f32 = 0.5;

/// Who may come to harm, by what a message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Concern {
    /// Who writes.
    Themselves,
    /// Someone whom they write about.
    SomeoneElse,
}

/// Compiles the patterns, which the first message would wait for otherwise.
pub fn prepare() {
    self_harm::prepare();
    bot_question::prepare();
    thanks::prepare();
    bad_news::prepare();
    next::prepare();
    rejoicing::prepare();
}

/// The operator's care settings.
#[derive(Clone, Debug, PartialEq)]
pub struct Safety {
    /// Whether messages are looked at for self-harm. Switch it off only where something better stands in front.
    pub enabled: bool,
    /// Sent as it is written, without mode or model. Name the helplines of your people's countries.
    pub answer: String,
    /// Sent instead where the same talk has had that answer: nobody in need wants to read the same words twice.
    pub answer_again: String,
    /// Sent where somebody else is in danger.
    pub answer_other: String,
    /// Sent to who says no more than "ok thanks" after one of these.
    pub answer_thanks: String,
    /// What is said after them, before the model speaks again.
    pub next: Next,
    /// Further regular expressions, for other languages.
    pub patterns: Patterns,
    /// From what probability on the classifier's hearing counts, 0 to 1: 1 leaves the words alone.
    pub danger_above: f32,
}

/// An operator's regular expressions (Rust syntax, case ignored), compiled once.
#[derive(Clone, Debug)]
pub struct Patterns {
    written: Vec<String>,
    compiled: Result<RegexSet, regex::Error>,
}

impl From<Vec<String>> for Patterns {
    fn from(written: Vec<String>) -> Self {
        // They meet messages whose apostrophes were straightened.
        let straight = written.iter().map(|pattern| straight(pattern));
        let compiled = RegexSetBuilder::new(straight).case_insensitive(true).size_limit(1 << 20).build();
        Self { written, compiled }
    }
}

impl Default for Patterns {
    fn default() -> Self {
        Self { written: Vec::new(), compiled: Ok(RegexSet::empty()) }
    }
}

impl PartialEq for Patterns {
    fn eq(&self, other: &Self) -> bool {
        self.written == other.written
    }
}

impl Eq for Patterns {}

impl Default for Safety {
    fn default() -> Self {
        Self {
            enabled: true,
            answer: ANSWER.to_owned(),
            answer_again: ANSWER_AGAIN.to_owned(),
            answer_other: ANSWER_OTHER.to_owned(),
            answer_thanks: ANSWER_THANKS.to_owned(),
            next: Next::default(),
            patterns: Patterns::default(),
            danger_above: DANGER_ABOVE,
        }
    }
}

impl Safety {
    /// Whether a message speaks of somebody in danger, be it who writes or someone else.
    pub fn concerns(&self, text: &str) -> bool {
        self.concern(text).is_some()
    }

    /// Who is in danger by what a message says, if anyone. The operator's own patterns speak of who writes.
    pub fn concern(&self, text: &str) -> Option<Concern> {
        if !self.enabled {
            return None;
        }
        let own = self.patterns.compiled.as_ref().is_ok_and(|own| own.is_match(&plain(text)));
        if own { Some(Concern::Themselves) } else { self_harm::concern(text) }
    }

    /// Whether what the classifier hears can count at all.
    pub fn listens(&self) -> bool {
        self.enabled && self.danger_above < 1.0
    }

    /// Who is in danger by what the classifier heard, if anyone: veiled words, which no pattern finds. It is asked in a message's turn:
    /// unlike plain words, hints neither overtake what came before them nor end an answer that is under way.
    pub fn heard(&self, danger: Option<Danger>) -> Option<Concern> {
        let danger = danger?;
        let counts = self.listens() && danger.total() > self.danger_above;
        let own = danger.themselves >= danger.someone_else;
        counts.then_some(if own { Concern::Themselves } else { Concern::SomeoneElse })
    }

    /// What is wrong with the settings, if anything.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let answers = [
            ("answer", &self.answer),
            ("answer_again", &self.answer_again),
            ("answer_other", &self.answer_other),
            ("answer_thanks", &self.answer_thanks),
        ];
        for (name, _) in answers.iter().filter(|(_, text)| self.enabled && text.trim().is_empty()) {
            problems.push(format!("safety.{name} is empty: write what to say, or set safety.enabled = false"));
        }
        if let Err(error) = &self.patterns.compiled {
            problems.push(format!("safety.patterns: {error}"));
        }
        problems
    }
}

/// Lower case, straight apostrophes, single spaces: what people type on phones, made comparable.
fn plain(text: &str) -> String {
    let lower = straight(&text.to_lowercase());
    lower.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// With straight apostrophes.
fn straight(text: &str) -> String {
    text.replace(['’', '‘', '`'], "'")
}

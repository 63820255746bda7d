//! `/remember`: what a person asks the friend to keep in mind, shown and taken back by buttons.

use crate::conversation::{Chat, Desk, now_ms};
use crate::known::{Fact, LONGEST_CHARS, MOST, tidy};
use crate::ports::Change;
use crate::reception::DROP_FACT;
use crate::texts::fill;
use crate::types::{Button, Outgoing};

/// Most characters of a fact on its button.
const LABEL_CHARS: usize = 32;

impl Desk {
    /// Keeps a fact in mind, or shows those kept.
    pub(crate) fn remember(&self, chat: &Chat<'_>, args: &str) -> Change {
        let (texts, facts) = (&self.persona.texts, &chat.state.profile.facts);
        let text = tidy(args);
        if !chat.private {
            self.say(&texts.remember_private)
        } else if text.is_empty() && facts.is_empty() {
            self.say(&texts.remember_nothing)
        } else if text.is_empty() {
            self.shown(&texts.remember_list, facts)
        } else if text.chars().count() > LONGEST_CHARS {
            self.say(&fill(&texts.remember_long, "most", &LONGEST_CHARS.to_string()))
        } else if facts.iter().any(|fact| fact.text == text) {
            self.say(&texts.remembered)
        } else if facts.len() >= MOST {
            self.shown(&fill(&texts.remember_full, "most", &MOST.to_string()), facts)
        } else {
            // Its time is its key.
            let at_ms = now_ms().max(facts.iter().map(|fact| fact.at_ms + 1).max().unwrap_or(0));
            let kept = self.profile(chat, |profile| profile.facts.push(Fact { at_ms, text }));
            Change { out: self.say(&texts.remembered).out, ..kept }
        }
    }

    /// Takes back the fact that was told at this time.
    pub(crate) fn drop_fact(&self, chat: &Chat<'_>, at_ms: i64) -> Change {
        let texts = &self.persona.texts;
        if !chat.state.profile.facts.iter().any(|fact| fact.at_ms == at_ms) {
            return self.say(&texts.old_button);
        }
        let dropped = self.profile(chat, |profile| profile.facts.retain(|fact| fact.at_ms != at_ms));
        Change { out: self.say(&texts.remember_dropped).out, ..dropped }
    }

    /// The facts as a list, with a button to drop each.
    fn shown(&self, heading: &str, facts: &[Fact]) -> Change {
        let mut text = self.named(heading);
        let mut buttons = Vec::new();
        for (number, fact) in facts.iter().enumerate() {
            text += &format!("\n{}. {}", number + 1, fact.text);
            let short: String = fact.text.chars().take(LABEL_CHARS).collect();
            let dots = if short.len() < fact.text.len() { "…" } else { "" };
            let label = format!("{} {}: {short}{dots}", self.persona.texts.remember_drop, number + 1);
            buttons.push(vec![Button { label, data: format!("{DROP_FACT}{}", fact.at_ms) }]);
        }
        Change { out: vec![Outgoing::Text { text, buttons, topic: None }], ..Change::default() }
    }
}

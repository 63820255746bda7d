//! The written answer to words of danger, and the talk after it, which is no time for jokes.

use crate::conversation::{Chat, Desk, now_ms, said, turn};
use crate::ports::{Change, Pending};
use crate::reception::{Deed, Step, written};
use crate::safety::Concern;
use crate::types::{Label, Mood, Role, Scores, Turn};

/// So long after the written answer it is the same talk, in milliseconds: nobody is flirted with in it.
const TALK_MS: i64 = 6 * 60 * 60 * 1000;

/// So many answers of the model after the written one are in the mode for bad moments, whatever "haha thanks" sounds like.
const TENDER_ANSWERS: usize = 3;

impl Desk {
    /// The written answer to words that speak of danger, wherever they stand: also in an edit, or where they would be
    /// cut, hushed or overtaken.
    pub(crate) fn care(&self, chat: &Chat<'_>, step: &Step, inbox: &[Pending]) -> Option<Change> {
        let settled = inbox.iter().filter(|row| step.rows.contains(&row.seq));
        let texts: Vec<&str> = settled.filter_map(|row| written(&row.incoming.event)).collect();
        let burst = texts.join("\n");
        let all = texts.iter().copied().chain([burst.as_str()]);
        let concerns: Vec<Concern> = all.filter_map(|text| self.safety.concern(text)).collect();
        let answer = self.written_answer(chat, &concerns)?;
        self.observer.care();
        let person = match &step.deed {
            Deed::Answer(words) | Deed::Hush(words) => said(words, turn(Role::Person, &words.newest)),
            // The model is to know of it, too, where it stood in an edit or behind a command.
            Deed::Reply(_) => texts.iter().map(|text| turn(Role::Person, text)).collect(),
            Deed::Nothing => Vec::new(),
        };
        let turns = if person.is_empty() { person } else { [person, vec![turn(Role::Friend, &answer)]].concat() };
        let rules = &self.persona.rules;
        let sad = if rules.negative.contains(&Label::Sadness) { Some(&Label::Sadness) } else { rules.negative.first() };
        let mut scores = Scores([0.0; 7]);
        scores.0[*sad.unwrap_or(&Label::Sadness) as usize] = 1.0;
        let changed = self.profile(chat, |profile| {
            profile.mood = Some(Mood { scores, weight: 1.0 });
            profile.mode = Some(rules.negative_mode.clone());
            (profile.last_scores, profile.grounds) = (None, None);
        });
        Some(Change { turns, out: self.say(&answer).out, ..changed })
    }

    /// What is said where there is such a concern.
    fn written_answer(&self, chat: &Chat<'_>, concerns: &[Concern]) -> Option<String> {
        let safety = &self.safety;
        let themselves = concerns.contains(&Concern::Themselves);
        let told = || {
            let answers = [self.named(safety.answer.trim()), self.named(safety.answer_again.trim())];
            self.friend_turns(chat).any(|turn| is_of_this_talk(turn) && answers.contains(&turn.text))
        };
        let text = match concerns {
            [] => return None,
            _ if !themselves => &safety.answer_other,
            _ if told() => &safety.answer_again,
            _ => &safety.answer,
        };
        Some(self.named(text.trim()))
    }

    /// The friend's turns, the newest first.
    fn friend_turns<'a>(&self, chat: &'a Chat<'_>) -> impl Iterator<Item = &'a Turn> {
        chat.state.turns.iter().rev().filter(|turn| turn.role == Role::Friend)
    }

    /// How many answers lie behind the written one, if that is of this talk.
    fn answers_since_care(&self, chat: &Chat<'_>) -> Option<usize> {
        let safety = &self.safety;
        let texts = [&safety.answer, &safety.answer_again, &safety.answer_other];
        let texts = texts.map(|text| self.named(text.trim()));
        let mut turns = self.friend_turns(chat).take_while(|turn| is_of_this_talk(turn));
        turns.position(|turn| texts.contains(&turn.text))
    }

    /// Whether the last thing said was a written answer to words of danger.
    pub(crate) fn has_just_cared(&self, chat: &Chat<'_>) -> bool {
        self.answers_since_care(chat) == Some(0)
    }

    /// Whether danger was spoken of in this talk.
    pub(crate) fn has_cared(&self, chat: &Chat<'_>) -> bool {
        self.answers_since_care(chat).is_some()
    }

    /// Whether that was so lately that it is still what matters.
    pub(crate) fn is_tender(&self, chat: &Chat<'_>) -> bool {
        self.answers_since_care(chat).is_some_and(|answers| answers < TENDER_ANSWERS)
    }
}

fn is_of_this_talk(turn: &Turn) -> bool {
    now_ms() - turn.at_ms < TALK_MS
}

//! What is said in the talk after the written answer to words of danger, before the model speaks again.

use crate::care::is_of_this_talk;
use crate::conversation::{Chat, Desk, said, turn};
use crate::ports::Change;
use crate::reception::Words;
use crate::safety::{Told, told};
use crate::types::{Profile, Role, Turn};

impl Desk {
    /// The written text that comes next, behind `first`, if one is left to say. In a group nobody knows whose words would be answered.
    pub(crate) fn care_after(&self, chat: &Chat<'_>, words: &Words, heard: &str, first: &str) -> Option<Change> {
        if !self.safety.enabled || !chat.private {
            return None;
        }
        let talk: Vec<&Turn> = self.friend_turns(chat).take_while(|turn| is_of_this_talk(turn)).collect();
        let behind = &talk[..self.answers_since_care(chat)?];
        let (safety, next) = (&self.safety, &self.safety.next);
        let is_last = |text: &str| talk.first().is_some_and(|turn| self.tells(turn, text));
        let was_said = |text: &str| behind.iter().any(|turn| self.tells(turn, text));
        let told = all_told(words, heard, self.has_just_written(chat));
        if told == Told::Unsafe || (told == Told::No && is_last(&next.safe)) {
            // It may be said again, but not right behind itself.
            let text = if is_last(&next.unsafe_now) { &safety.answer_again } else { &next.unsafe_now };
            let answer = format!("{first}{}", self.named(text.trim()));
            let person = said(words, turn(Role::Person, &words.newest));
            return (!text.trim().is_empty()).then(|| self.caring(chat, person, &answer, false));
        }
        // But for that, who was got wrong talks with the model again, and so does who has talked with it since.
        if was_said(&next.wrong) || behind.iter().any(|turn| turn.mode.is_some()) {
            return None;
        }
        let about_other = talk.get(behind.len()).is_some_and(|cared| self.tells(cared, &safety.answer_other));
        let fitting: &[&String] = match told {
            Told::Wrong => &[&next.wrong],
            _ if about_other => &[&next.other],
            Told::Lines => &[&next.lines, &next.safe, &next.heavy],
            Told::Alone => &[&next.alone, &next.safe, &next.heavy],
            // The written answer asked whether somebody is near, or was reached.
            Told::No if behind.is_empty() => &[&next.alone, &next.safe, &next.heavy],
            Told::Company => &[&next.company, &next.safe, &next.heavy],
            // What the classifier alone heard may be no danger: one question will tell.
            _ if self.was_only_heard(chat) => &[&next.safe],
            _ => &[&next.safe, &next.heavy],
        };
        let text = fitting.iter().find(|text| !text.trim().is_empty() && !was_said(text))?;
        let answer = format!("{first}{}", self.named(text.trim()));
        self.observer.cared_after();
        let turns = [said(words, turn(Role::Person, &words.newest)), vec![turn(Role::Friend, &answer)]].concat();
        // What was no danger weighs on nothing that follows.
        let forgiven = (told == Told::Wrong).then(|| Profile { mood: None, mode: None, ..chat.state.profile.clone() });
        Some(Change { turns, profile: forgiven, ..self.say(&answer) })
    }

    /// Whether words right after the written answer tell so plainly what to say that the classifier need not be heard again.
    pub(crate) fn tells_how_it_is(&self, chat: &Chat<'_>, words: &Words, heard: &str) -> bool {
        self.has_just_cared(chat) && !matches!(all_told(words, heard, true), Told::No | Told::Other)
    }

    /// Whether a turn of the friend's says a written text, perhaps behind another.
    pub(crate) fn tells(&self, turn: &Turn, text: &str) -> bool {
        let text = text.trim();
        !text.is_empty() && turn.text.ends_with(&self.named(text))
    }

    /// Whether no plain words stand before any written answer of this talk, so that the classifier alone heard danger.
    fn was_only_heard(&self, chat: &Chat<'_>) -> bool {
        let safety = &self.safety;
        let answers = [&safety.answer, &safety.answer_again, &safety.answer_other];
        let turns = &chat.state.turns;
        let is_plain = |at: usize| {
            let said = turns[..at].iter().rev().take_while(|turn| turn.role == Role::Person);
            said.into_iter().any(|turn| safety.concerns(&turn.text))
        };
        let cared = turns.iter().enumerate().filter(|(_, turn)| {
            turn.role == Role::Friend && is_of_this_talk(turn) && answers.iter().any(|text| self.tells(turn, text))
        });
        !cared.into_iter().any(|(at, _)| is_plain(at))
    }
}

/// What all messages of a burst tell.
fn all_told(words: &Words, heard: &str, right_after: bool) -> Told {
    let texts: Vec<&str> = words.earlier.iter().map(String::as_str).chain([heard]).collect();
    told(&texts.join("\n"), right_after)
}

//! What is said in the talk after the written answer to words of danger, before the model speaks again.

use crate::care::is_of_this_talk;
use crate::conversation::{Chat, Desk, said, turn};
use crate::ports::Change;
use crate::reception::Words;
use crate::safety::{Says, says};
use crate::types::{Role, Turn};

impl Desk {
    /// The written text that comes next, if one is left to say. In a group nobody knows whose words would be answered.
    pub(crate) fn care_on(&self, chat: &Chat<'_>, words: &Words) -> Option<Change> {
        if !self.safety.enabled || !chat.private {
            return None;
        }
        let talk: Vec<&Turn> = self.friend_turns(chat).take_while(|turn| is_of_this_talk(turn)).collect();
        let behind = &talk[..self.answers_since_care(chat)?];
        let was_said = |text: &String, turns: &[&Turn]| turns.iter().any(|turn| turn.text == self.named(text.trim()));
        let next = &self.safety.next;
        // Who was taken wrong talks with the model again, and so does who has talked with it since.
        if was_said(&next.wrong, behind) || behind.iter().any(|turn| turn.mode.is_some()) {
            return None;
        }
        let texts: Vec<&str> = words.earlier.iter().chain([&words.newest]).map(String::as_str).collect();
        let cared = talk.get(behind.len())?;
        let about_other = cared.text == self.named(self.safety.answer_other.trim());
        let fitting: &[&String] = match says(&texts.join("\n")) {
            Says::Wrong => &[&next.wrong],
            _ if about_other => &[&next.other],
            Says::Alone => &[&next.alone, &next.safe, &next.heavy],
            Says::Company => &[&next.company, &next.heavy],
            Says::No if talk.first().is_some_and(|turn| turn.text == self.named(next.safe.trim())) => {
                &[&self.safety.answer_again, &next.heavy]
            }
            Says::No | Says::Other => &[&next.safe, &next.heavy],
        };
        let text = fitting.iter().find(|text| !was_said(text, &talk))?;
        if text.trim().is_empty() {
            return None;
        }
        let answer = self.named(text.trim());
        let turns = [said(words, turn(Role::Person, &words.newest)), vec![turn(Role::Friend, &answer)]].concat();
        Some(Change { turns, ..self.say(&answer) })
    }
}

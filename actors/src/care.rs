//! The written answer to words of danger, and the talk after it, which is no time for jokes.

use futures_util::future::join_all;

use crate::conversation::{Chat, Desk, now_ms, said, turn};
use crate::ports::{Change, Pending};
use crate::reception::{Deed, Step, Words, written};
use crate::safety::{Concern, bot_question, is_bare_thanks};
use crate::types::{Danger, Mood, Role, Scores, Turn};

/// So long after the written answer it is the same talk, in milliseconds: nobody is flirted with in it.
const TALK_MS: i64 = 6 * 60 * 60 * 1000;

/// So many answers of the model after the written one are in the mode for bad moments, whatever "haha thanks" sounds like.
const TENDER_ANSWERS: usize = 3;

impl Desk {
    /// The written answer to words that speak of danger, wherever they stand: also in an edit, or where they would be
    /// cut, hushed or overtaken.
    pub(crate) async fn care(&self, chat: &Chat<'_>, step: &Step, inbox: &[Pending]) -> Option<Change> {
        let settled = inbox.iter().filter(|row| step.rows.contains(&row.seq));
        let texts: Vec<&str> = settled.filter_map(|row| written(&row.incoming.event)).collect();
        let burst = texts.join("\n");
        let all = texts.iter().copied().chain([burst.as_str()]);
        let concerns: Vec<Concern> = all.filter_map(|text| self.safety.concern(text)).collect();
        let person = || match &step.deed {
            Deed::Answer(words) | Deed::Hush(words) => said(words, turn(Role::Person, &words.newest)),
            // The model is to know of it, too, where it stood in an edit or behind a command.
            Deed::Reply(_) => texts.iter().map(|text| turn(Role::Person, text)).collect(),
            Deed::Nothing => Vec::new(),
        };
        if let Some(answer) = self.written_answer(chat, &concerns) {
            return Some(self.caring(chat, person(), &answer, false));
        }
        // A single message that the model answers is felt on that way: once is enough.
        let is_felt = matches!(step.deed, Deed::Answer(_)) && texts.len() == 1 && bot_question(texts[0]).is_none();
        if is_felt || !self.safety.listens() {
            return None;
        }
        let felt = join_all(texts.iter().filter(|text| !text.trim().is_empty()).map(|text| self.feel(text))).await;
        let heard =
            felt.iter().filter_map(|felt| felt.danger).max_by(|one, other| one.total().total_cmp(&other.total()));
        self.care_for_hints(chat, heard, person)
    }

    /// The written answer to veiled words, which only the classifier heard. It may be mistaken, so none is said twice in a talk for
    /// them: then the model answers, in the mode for bad moments.
    pub(crate) fn care_for_hints(
        &self,
        chat: &Chat<'_>,
        danger: Option<Danger>,
        person: impl FnOnce() -> Vec<Turn>,
    ) -> Option<Change> {
        let answer = self.written_answer(chat, &[self.safety.heard(danger)?])?;
        let said = self.friend_turns(chat).take_while(|turn| is_of_this_talk(turn)).any(|turn| turn.text == answer);
        (!said).then(|| self.caring(chat, person(), &answer, true))
    }

    /// The written answer to who says no more than "ok thanks" right after one of those.
    pub(crate) fn care_for_thanks(&self, chat: &Chat<'_>, words: &Words) -> Option<Change> {
        let is_bare = || words.earlier.iter().chain([&words.newest]).all(|text| is_bare_thanks(text));
        if !self.safety.enabled || !self.has_just_cared(chat) || !is_bare() {
            return None;
        }
        let answer = self.named(self.safety.answer_thanks.trim());
        let turns = [said(words, turn(Role::Person, &words.newest)), vec![turn(Role::Friend, &answer)]].concat();
        Some(Change { turns, ..self.say(&answer) })
    }

    /// What changes by a written answer: the person's turns, and the talk's mood.
    pub(crate) fn caring(&self, chat: &Chat<'_>, person: Vec<Turn>, answer: &str, by_classifier: bool) -> Change {
        self.observer.care(by_classifier);
        let turns = if person.is_empty() { person } else { [person, vec![turn(Role::Friend, answer)]].concat() };
        let rules = &self.persona.rules;
        let mut scores = Scores([0.0; 7]);
        scores.0[rules.sorrow() as usize] = 1.0;
        let changed = self.profile(chat, |profile| {
            profile.mood = Some(Mood { scores, weight: 1.0 });
            profile.mode = Some(rules.negative_mode.clone());
            (profile.last_scores, profile.grounds) = (None, None);
            profile.cared_at_ms = Some(now_ms());
        });
        Change { turns, out: self.say(answer).out, ..changed }
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
    pub(crate) fn friend_turns<'a>(&self, chat: &'a Chat<'_>) -> impl Iterator<Item = &'a Turn> {
        chat.state.turns.iter().rev().filter(|turn| turn.role == Role::Friend)
    }

    /// How many of the friend's turns lie behind the written one, if that is of this talk.
    pub(crate) fn answers_since_care(&self, chat: &Chat<'_>) -> Option<usize> {
        let safety = &self.safety;
        let texts = [&safety.answer, &safety.answer_again, &safety.answer_other, &safety.next.unsafe_now];
        let mut turns = self.friend_turns(chat).take_while(|turn| is_of_this_talk(turn));
        turns.position(|turn| texts.iter().any(|text| self.tells(turn, text)))
    }

    /// Whether the last thing said was a written answer to words of danger.
    pub(crate) fn has_just_cared(&self, chat: &Chat<'_>) -> bool {
        self.answers_since_care(chat) == Some(0)
    }

    /// Whether the last thing said was written, not drawn: one of those, what is said after it, or what stands in for an answer that
    /// would have rejoiced.
    pub(crate) fn has_just_written(&self, chat: &Chat<'_>) -> bool {
        let Some(last) = self.friend_turns(chat).next() else { return false };
        let texts = &self.persona.texts;
        let others = [&self.safety.answer_thanks, &texts.comfort, &texts.comfort_again].map(String::as_str);
        let mut after = self.safety.next.texts().into_iter().chain(others);
        self.has_just_cared(chat) || after.any(|text| self.tells(last, text))
    }

    /// Whether danger was spoken of in this talk, though a lively one has left those turns behind, or /reset has.
    pub(crate) fn has_cared(&self, chat: &Chat<'_>) -> bool {
        let lately = chat.state.profile.cared_at_ms.is_some_and(|at_ms| now_ms() - at_ms < TALK_MS);
        // Rows of before that was kept tell it by their turns.
        lately || self.answers_since_care(chat).is_some()
    }

    /// Whether that was so lately that it is still what matters.
    pub(crate) fn is_tender(&self, chat: &Chat<'_>) -> bool {
        // Drawn ones alone have a mode.
        let since = |turns| self.friend_turns(chat).take(turns);
        let drawn = |turns| since(turns).filter(|turn| turn.mode.is_some()).count();
        let was_wrong = |turns| since(turns).any(|turn| self.tells(turn, &self.safety.next.wrong));
        self.answers_since_care(chat).is_some_and(|turns| drawn(turns) < TENDER_ANSWERS && !was_wrong(turns))
    }
}

pub(crate) fn is_of_this_talk(turn: &Turn) -> bool {
    now_ms() - turn.at_ms < TALK_MS
}

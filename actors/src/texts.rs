//! What the friend says without the model. A persona's `[texts]` may replace any of it, in any language.

use serde::{Deserialize, Serialize};

/// All written texts. `{name}` is the friend's name, `{wait}` a time such as "about 20 seconds", `{most}` a number (in `remember_long` and
/// `remember_full`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "each field is named after the moment it is said in")]
pub struct Texts {
    pub greeting: String,
    pub started_over: String,
    pub help: String,
    pub honest: String,
    pub honest_first: String,
    pub photo: String,
    pub voice: String,
    pub sticker: String,
    pub video: String,
    pub document: String,
    pub other_media: String,
    pub edited: String,
    pub busy: String,
    pub slow: String,
    pub failed: String,
    pub comfort: String,
    pub comfort_again: String,
    pub stopped: String,
    pub nothing_to_stop: String,
    pub why_nothing: String,
    pub why_written: String,
    pub unknown_command: String,
    pub joined_group: String,
    pub forget_question: String,
    pub forget_yes: String,
    pub forget_no: String,
    pub forgotten: String,
    pub kept: String,
    pub export_caption: String,
    pub flirt_question: String,
    pub flirt_yes: String,
    pub flirt_no: String,
    pub flirt_on: String,
    pub flirt_off: String,
    pub flirt_private: String,
    pub remembered: String,
    pub remember_nothing: String,
    pub remember_list: String,
    pub remember_drop: String,
    pub remember_dropped: String,
    pub remember_long: String,
    pub remember_full: String,
    pub remember_private: String,
    pub old_button: String,
}

impl Default for Texts {
    fn default() -> Self {
        let text = |text: &str| text.to_owned();
        Self {
            greeting: text(
                "Hey, I'm {name}! I'm a bot, not a person, but I'm here whenever you want to talk. What you write is kept here; /help says how to see or erase it. How are you today?",
            ),
            started_over: text(
                "Okay, let's start over. I no longer think of what we said before. It stays kept until you say /forget, and so does what you asked me to remember. How are you today?",
            ),
            help: text(
                "Just write to me, about anything. I read text; pictures and voice I can't make out yet.\n\n\
                 /reset: start over\n/stop: stop me while I write\n/why: why I answered the way I did\n\
                 /remember: tell me something to keep in mind, such as /remember my sister is called Nadia\n\
                 /flirt: let me flirt with you, or stop it (adults only)\n/export: get all I keep of you as a file\n\
                 /forget: erase all I keep of you\n\n\
                 I'm a bot. If you're in danger, please call your emergency number; findahelpline.com lists people who \
                 listen.",
            ),
            honest: text(
                "Honest answer: I'm a bot. There's no person typing here, but I do read every word you write. Does that change things for you?",
            ),
            honest_first: text("Honest answer first: I'm a bot, not a person."),
            photo: text("I can't see pictures, sadly. Tell me what's on it?"),
            voice: text("I can't listen to recordings, sorry. Would you write it to me?"),
            sticker: text("I can't see stickers, sadly. What does it say for you?"),
            video: text("I can't see videos or GIFs, sorry. What happens in it?"),
            document: text("I can't open files. Want to tell me what it's about?"),
            other_media: text("I can only read text, sorry. Tell me in words?"),
            edited: text(
                "I saw that you changed a message, but I still have the first version. If it matters, write it to me again.",
            ),
            busy: text("So many people are talking to me right now. Give me {wait}, I won't forget to answer."),
            slow: text("I need a little longer for this one. I'm still here, and I'll answer."),
            failed: text("Sorry, I lost my words for a moment. Would you write that again?"),
            comfort: text("I'm here with you, and I'm listening. Tell me more, if you like."),
            comfort_again: text("I'm still with you. How is it for you right now?"),
            stopped: text("Okay, I'll stop there."),
            nothing_to_stop: text("I wasn't writing anything, I'm all ears."),
            why_nothing: text("There's nothing to explain yet. Write me something first."),
            why_written: text(
                "That answer was written beforehand, because what you said matters too much to leave to chance.",
            ),
            unknown_command: text("I don't know that one. /help lists what I know."),
            joined_group: text(
                "Hi all, I'm {name}, a bot. Mention me or reply to me and I'll answer; the rest I don't read.",
            ),
            forget_question: text(
                "Shall I erase everything I keep of you: our whole conversation, what I keep in mind for you, and what I noticed of your mood? This can't be undone.",
            ),
            forget_yes: text("Yes, erase it"),
            forget_no: text("No, keep it"),
            forgotten: text(
                "Done. I have erased everything I kept. The messages you see here in Telegram are yours to delete. If you write again, we start as strangers.",
            ),
            kept: text("Good, everything stays."),
            export_caption: text("Everything I keep of you."),
            flirt_question: text(
                "I can be a bit flirty when the mood is right. This is only for adults. Do you want that?",
            ),
            flirt_yes: text("I'm 18 or older, yes"),
            flirt_no: text("No, thanks"),
            flirt_on: text("Noted. Say /flirt again to switch it off whenever you like."),
            flirt_off: text("Alright, no flirting."),
            flirt_private: text(
                "Ask me that in a chat of our own: here I can't know whether everyone is an adult and wants it.",
            ),
            remembered: text("Got it, I'll keep that in mind. /remember alone shows what I know about you."),
            remember_nothing: text(
                "You haven't asked me to keep anything in mind yet. Write it behind the command: /remember my sister is called Nadia",
            ),
            remember_list: text("This is what you asked me to keep in mind:"),
            remember_drop: text("Drop"),
            remember_dropped: text(
                "Dropped. What we said about it stays in our talk until you say /reset; /forget erases that too.",
            ),
            remember_long: text("That's a lot at once for my memory. Can you say it in {most} characters?"),
            remember_full: text(
                "I can keep {most} things in mind, and all places are taken. Drop one here, then tell me the new one again.",
            ),
            remember_private: text("Ask me that in a chat of our own: here I wouldn't know who it's about."),
            old_button: text("That button no longer does anything. Send the command again for a fresh one."),
        }
    }
}

impl Texts {
    /// What is said to nobody, or would be said with a `{placeholder}` in it: the name of the text, and what is wrong with it.
    pub(crate) fn problems(&self) -> Vec<String> {
        let Ok(serde_json::Value::Object(texts)) = serde_json::to_value(self) else { return Vec::new() };
        let mut problems = Vec::new();
        for (key, text) in texts.iter().filter_map(|(key, text)| Some((key.as_str(), text.as_str()?))) {
            if text.trim().is_empty() {
                problems.push(format!(
                    "texts.{key} is empty: write what to say, or leave the line out for the built-in text"
                ));
            }
            let known: &[&str] = match key {
                "busy" => &["{name}", "{wait}"],
                "remember_long" | "remember_full" => &["{name}", "{most}"],
                _ => &["{name}"],
            };
            for place in placeholders(text).filter(|place| !known.contains(place)) {
                problems.push(format!(
                    "texts.{key} has {place}, for which nothing is put in; there is {}",
                    known.join(" and ")
                ));
            }
        }
        problems
    }
}

/// Words in braces, with their braces.
fn placeholders(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices('{').filter_map(|(start, _)| {
        let end = start + text[start..].find('}')? + 1;
        let word = &text[start + 1..end - 1];
        let is_word = !word.is_empty() && word.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
        is_word.then_some(&text[start..end])
    })
}

/// Puts a value into a text's `{key}`.
pub fn fill(text: &str, key: &str, value: &str) -> String {
    text.replace(&format!("{{{key}}}"), value)
}

/// A duration as a person says it: "a few seconds", "about 40 seconds", "about 2 minutes".
pub fn spoken(wait: std::time::Duration) -> String {
    match wait.as_secs() {
        0..=5 => "a few seconds".into(),
        seconds @ 6..=90 => format!("about {} seconds", seconds.div_ceil(10) * 10),
        seconds => format!("about {} minutes", seconds.div_ceil(60)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn waits_are_spoken_roundly() {
        assert_eq!(spoken(Duration::from_secs(2)), "a few seconds");
        assert_eq!(spoken(Duration::from_secs(33)), "about 40 seconds");
        assert_eq!(spoken(Duration::from_secs(100)), "about 2 minutes");
    }

    #[test]
    fn the_built_in_texts_have_no_problems() {
        assert_eq!(Texts::default().problems(), Vec::<String>::new());
    }

    #[test]
    fn a_text_that_says_nothing_and_a_placeholder_that_nothing_fills_are_told() {
        let texts = Texts {
            forget_yes: "  ".into(),
            help: "I am {nme}, {} and { x }".into(),
            busy: "{name}: {wait}".into(),
            kept: "{wait}".into(),
            ..Texts::default()
        };
        let told = texts.problems();
        assert_eq!(told.len(), 3, "{told:?}");
        let names = |what: &str| told.iter().any(|problem| problem.contains(what));
        assert!(
            names("texts.forget_yes is empty") && names("texts.help has {nme}") && names("texts.kept has {wait}"),
            "{told:?}"
        );
    }

    #[test]
    fn the_greeting_names_the_friend_and_says_it_is_a_bot() {
        let greeting = fill(&Texts::default().greeting, "name", "Arthur");
        assert!(greeting.contains("Arthur") && greeting.contains("bot") && !greeting.contains('{'));
    }
}

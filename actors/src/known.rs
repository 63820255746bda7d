//! What a person asked the friend to keep in mind, as they wrote it, and as the prompt tells it.

use serde::{Deserialize, Serialize};

/// Most facts kept of one person: each is computed again whenever the conversation loses its place in the engine.
pub const MOST: usize = 8;
/// Most characters of one.
pub const LONGEST_CHARS: usize = 100;

/// One fact, in the person's own words.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// When it was told, Unix time in milliseconds; of one person's facts no two are equal.
    pub at_ms: i64,
    /// "my sister is called Nadia".
    pub text: String,
}

impl std::fmt::Debug for Fact {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a fact of {} characters", self.text.chars().count())
    }
}

/// The end of a prompt's system text: what is known about the person, as training wrote it. Empty where nothing is.
pub fn line(facts: &[String]) -> String {
    if facts.is_empty() { String::new() } else { format!("\nWhat you know about the person: {}.", facts.join("; ")) }
}

/// One line without what would end it early: as it is kept and shown.
pub fn tidy(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").trim_end_matches(['.', '!', ';', ',', ' ']).to_owned()
}

/// "I'm a nurse and my dog loves me" as the prompt tells it: "they are a nurse and their dog loves them".
pub fn about_them(text: &str) -> String {
    let (mut they, mut article) = (false, false);
    let mut words = Vec::new();
    for word in tidy(text).replace(';', ",").replace('’', "'").split(' ') {
        let (opening, closing) = (['(', '"', '\''], [',', '.', '!', '?', ':', ')', '"']);
        let bare = word.trim_start_matches(opening).trim_end_matches(closing);
        let (start, end) = word.split_once(bare).unwrap_or_default();
        let lower = bare.to_lowercase();
        let swapped = match lower.as_str() {
            // A country, and where somebody works.
            "us" if bare == "US" => bare,
            "mine" if article => bare,
            "i" | "we" => "they",
            "i'm" | "im" | "we're" => "they are",
            "i've" | "ive" | "we've" => "they have",
            "i'd" | "we'd" => "they would",
            "i'll" | "we'll" => "they will",
            "my" | "our" => "their",
            "mine" | "ours" => "theirs",
            "me" | "us" => "them",
            "myself" | "ourselves" => "themselves",
            "am" if they => "are",
            "was" if they => "were",
            "wasn't" if they => "weren't",
            _ => bare,
        };
        they = swapped == "they";
        article = matches!(lower.as_str(), "a" | "an" | "the");
        words.push(format!("{start}{swapped}{end}"));
    }
    if words.first().is_some_and(|first| first.eq_ignore_ascii_case("that")) && words.len() > 1 {
        words.remove(0);
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fact_is_told_of_them() {
        let told = [
            ("My sister is called Nadia.", "their sister is called Nadia"),
            ("I'm a nurse, I work nights", "they are a nurse, they work nights"),
            ("that i was born in Lagos", "they were born in Lagos"),
            ("my mum was a baker", "their mum was a baker"),
            ("I’ve got a dog; he loves me!!", "they have got a dog, he loves them"),
            ("Anna is my wife", "Anna is their wife"),
            ("We have two kids (our dog counts as one)", "they have two kids (their dog counts as one)"),
            ("I wasn't born here, :)", "they weren't born here, :)"),
            ("I live in the US, mum calls us daily", "they live in the US, mum calls them daily"),
            ("I work in a mine and the dog is mine", "they work in a mine and the dog is theirs"),
        ];
        for (said, expected) in told {
            assert_eq!(about_them(said), expected);
        }
    }

    #[test]
    fn the_line_is_the_one_that_training_wrote() {
        assert_eq!(
            line(&["their dog is called Bruno".to_owned(), "they live alone".to_owned()]),
            "\nWhat you know about the person: their dog is called Bruno; they live alone."
        );
        assert_eq!(line(&[]), "");
    }

    #[test]
    fn a_fact_never_shows_its_words_in_a_log() {
        let fact = Fact { at_ms: 1, text: "my secret".into() };
        assert_eq!(format!("{fact:?}"), "a fact of 9 characters");
    }
}

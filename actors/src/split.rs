//! Cuts a long text into messages: Telegram counts UTF-16 units and takes 1 to 4096 of them.

use unicode_segmentation::UnicodeSegmentation;

/// The most UTF-16 units of one message (<https://core.telegram.org/bots/api#sendmessage>).
pub const MOST_UNITS: usize = 4096;

/// Cuts `text` into parts of 1 to `most` UTF-16 units, in order: at the end of a paragraph, a line or a sentence where
/// one lies in the second half of the part, else between words, else between graphemes. A grapheme that is longer than
/// a whole part (some accents pile up without end) is cut between characters, the only case in which one is.
///
/// White space at the borders is dropped, and a text without anything visible gives no parts.
pub fn split(text: &str, most: usize) -> Vec<&str> {
    let most = most.max(2); // A character may take two units.
    let mut parts = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let part = &rest[..first_part(rest, most)];
        rest = rest[part.len()..].trim_start();
        let part = part.trim_end();
        if !part.is_empty() {
            parts.push(part);
        }
    }
    parts
}

/// The UTF-16 units of a text.
pub fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

/// The text's beginning, of at most `most` units, never cut inside a grapheme unless the first one alone is longer.
pub fn clip(text: &str, most: usize) -> &str {
    &text[..graphemes_within(text, most)]
}

/// Bytes of the first part of a text that begins with something visible. Never 0.
fn first_part(rest: &str, most: usize) -> usize {
    let hard = graphemes_within(rest, most);
    if hard == rest.len() {
        return hard;
    }
    let window = &rest[..hard];
    let late = |&end: &usize| end > hard / 2;
    let after = |mark: &str| window.rfind(mark).map(|at| at + mark.len());
    after("\n\n")
        .filter(late)
        .or_else(|| after("\n").filter(late))
        .or_else(|| last_sentence_end(rest, hard).filter(late))
        .or_else(|| last_word_end(rest, hard))
        .unwrap_or(hard)
}

/// Bytes of the longest run of whole graphemes within `most` units; of characters where the first grapheme is longer.
fn graphemes_within(text: &str, most: usize) -> usize {
    let whole = within(text.graphemes(true), most);
    if whole == 0 { within(text.split_inclusive(|_| true), most) } else { whole }
}

fn within<'a>(pieces: impl Iterator<Item = &'a str>, most: usize) -> usize {
    let mut used = 0;
    pieces
        .take_while(|piece| {
            used += units(piece);
            used <= most
        })
        .map(str::len)
        .sum()
}

/// The last end of a sentence at or before `hard` bytes (Unicode's rules, UAX #29).
fn last_sentence_end(text: &str, hard: usize) -> Option<usize> {
    text.split_sentence_bound_indices().map(|(at, piece)| at + piece.len()).take_while(|&end| end <= hard).last()
}

/// The last border at or before `hard` bytes that has white space beside it, so that no word or link is torn.
fn last_word_end(text: &str, hard: usize) -> Option<usize> {
    if text[hard..].starts_with(char::is_whitespace) {
        return Some(hard);
    }
    text[..hard].rfind(char::is_whitespace).filter(|&at| at > 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_short_text_stays_whole() {
        assert_eq!(split("  Hello there. \n", MOST_UNITS), ["Hello there."]);
        assert!(split(" \n\t ", MOST_UNITS).is_empty());
        assert!(split("", MOST_UNITS).is_empty());
    }

    #[test]
    fn the_best_border_wins() {
        assert_eq!(split("One one one.\n\nTwo two. Three", 20), ["One one one.", "Two two. Three"]);
        assert_eq!(split("I like it. You do too, so it seems", 16), ["I like it.", "You do too, so", "it seems"]);
        assert_eq!(split("words without any end", 8), ["words", "without", "any end"]);
        assert_eq!(split("unbreakable", 5), ["unbre", "akabl", "e"]);
    }

    #[test]
    fn emoji_count_two_units_and_are_never_torn() {
        let text = "😀".repeat(4096);
        let parts = split(&text, MOST_UNITS);
        assert_eq!(parts.len(), 2);
        assert!(parts.iter().all(|part| units(part) == MOST_UNITS));
        let family = "👨‍👩‍👧‍👦"; // One grapheme of 11 units.
        assert_eq!(split(&family.repeat(3), 25), [family.repeat(2), family.to_owned()]);
    }

    #[test]
    fn a_grapheme_longer_than_a_message_is_cut_between_characters() {
        let pile = format!("a{}", "\u{301}".repeat(30));
        let parts = split(&pile, 10);
        assert_eq!(parts.concat(), pile);
        assert!(parts.iter().all(|part| units(part) <= 10));
    }

    #[test]
    fn a_long_text_is_cut_quickly_enough() {
        let text = "A sentence of some words follows another one. ".repeat(2_000);
        let parts = split(&text, MOST_UNITS);
        assert!(parts.len() < 30, "{} parts", parts.len());
        assert!(parts.iter().all(|part| part.ends_with('.')));
    }

    proptest! {
        #[test]
        fn nothing_visible_is_lost_and_every_part_fits(text in "(\\PC|[ \n.!é😀]|👨‍👩‍👧|e\u{301}){0,200}", most in 12_usize..60) {
            let parts = split(&text, most);
            for part in &parts {
                prop_assert!((1..=most).contains(&units(part)));
            }
            let visible = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            prop_assert_eq!(visible(&parts.concat()), visible(&text));
        }
    }
}

//! From tokens to text that can be shown at once: whole characters only, and nothing that may turn out to be the start
//! of a stop string.

use crate::backend::{Token, Vocabulary};
use crate::request::Stop;

/// The growing text of one answer.
#[derive(Clone, Debug)]
pub struct TextStream {
    stop: Stop,
    bytes: Vec<u8>,
    /// Bytes already turned into text, all of them whole characters.
    decoded: usize,
    text: String,
    /// Bytes of `text` already given out.
    shown: usize,
    longest_stop: usize,
}

/// What a token did to the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It belongs to the answer.
    Goes,
    /// It ended the answer, and is not part of it.
    Ends,
}

/// Most stop strings of one request.
pub const STOP_STRINGS: usize = 16;
/// Longest stop string in bytes.
pub const STOP_STRING_BYTES: usize = 256;

impl TextStream {
    /// An empty text with these ends.
    pub fn new(stop: Stop) -> Self {
        let longest_stop = stop.strings.iter().map(String::len).max().unwrap_or(0);
        Self { stop, bytes: Vec::new(), decoded: 0, text: String::new(), shown: 0, longest_stop }
    }

    /// Whether a token ends the answer by itself: such tokens are masked until the fewest tokens are reached.
    pub fn is_stop(&self, vocabulary: &Vocabulary, token: Token) -> bool {
        (self.stop.end_of_generation && vocabulary.ends_generation(token))
            || (self.stop.newline && vocabulary.has_newline(token))
            || self.stop.tokens.contains(&token)
    }

    /// Takes in one sampled token.
    pub fn push(&mut self, vocabulary: &Vocabulary, token: Token) -> Pushed {
        let bytes = vocabulary.bytes(token);
        if self.is_stop(vocabulary, token) {
            let newline = bytes.iter().position(|byte| *byte == b'\n').filter(|_| self.stop.newline);
            let named = self.stop.tokens.contains(&token) || vocabulary.ends_generation(token);
            if let (Some(newline), false) = (newline, named) {
                self.bytes.extend_from_slice(&bytes[..newline]);
                self.decode();
                self.cut_at_stop_string();
            }
            return Pushed::Ends;
        }
        self.bytes.extend_from_slice(bytes);
        self.decode();
        if self.cut_at_stop_string() { Pushed::Ends } else { Pushed::Goes }
    }

    /// The text that can be shown now and was not before.
    pub fn take(&mut self) -> Option<String> {
        let sure = self.text.len() - self.held_back();
        self.take_to(sure)
    }

    /// The rest of the text: the answer has ended. An unfinished character at the very end is left out.
    pub fn finish(&mut self) -> Option<String> {
        self.take_to(self.text.len())
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    fn take_to(&mut self, end: usize) -> Option<String> {
        if end <= self.shown {
            return None;
        }
        let piece = self.text[self.shown..end].to_owned();
        self.shown = end;
        Some(piece)
    }

    /// Turns whole characters into text. Bytes that can never become one turn into U+FFFD.
    fn decode(&mut self) {
        while self.decoded < self.bytes.len() {
            match std::str::from_utf8(&self.bytes[self.decoded..]) {
                Ok(rest) => {
                    self.text.push_str(rest);
                    self.decoded = self.bytes.len();
                }
                Err(error) => {
                    let valid = self.decoded + error.valid_up_to();
                    self.text.push_str(&String::from_utf8_lossy(&self.bytes[self.decoded..valid]));
                    self.decoded = valid;
                    let Some(bad) = error.error_len() else { break };
                    self.text.push(char::REPLACEMENT_CHARACTER);
                    self.decoded += bad;
                }
            }
        }
    }

    fn cut_at_stop_string(&mut self) -> bool {
        // What was shown can hold no stop string, nor the start of one that is now whole.
        let found = self.stop.strings.iter().filter_map(|stop| self.text[self.shown..].find(stop.as_str())).min();
        if let Some(found) = found {
            self.text.truncate(self.shown + found);
        }
        found.is_some()
    }

    /// Bytes at the end of the text that may be the start of a stop string.
    fn held_back(&self) -> usize {
        let unseen = &self.text[self.shown..];
        let most = unseen.len().min(self.longest_stop.saturating_sub(1));
        (1..=most)
            .rev()
            .filter(|length| unseen.is_char_boundary(unseen.len() - length))
            .find(|length| self.stop.strings.iter().any(|stop| stop.starts_with(&unseen[unseen.len() - length..])))
            .unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vocabulary(tokens: &[&[u8]]) -> Vocabulary {
        Vocabulary::new(tokens.iter().map(|bytes| (bytes.to_vec(), bytes.is_empty())), None)
    }

    fn run(tokens: &[&[u8]], stop: Stop) -> (Vec<String>, String, bool) {
        let vocabulary = vocabulary(tokens);
        let mut stream = TextStream::new(stop);
        let mut shown = Vec::new();
        let mut ended = false;
        for token in 0..u32::try_from(tokens.len()).unwrap() {
            ended = stream.push(&vocabulary, token) == Pushed::Ends;
            shown.extend(stream.take());
            if ended {
                break;
            }
        }
        shown.extend(stream.finish());
        assert_eq!(shown.concat(), stream.text());
        (shown, stream.text().to_owned(), ended)
    }

    #[test]
    fn a_newline_inside_a_token_ends_the_answer_and_keeps_the_text_before_it() {
        let stop = Stop { newline: true, ..Stop::default() };
        let (_, text, ended) = run(&[b" I", b" am.\n\nPerson", b" never"], stop);
        assert_eq!((text.as_str(), ended), (" I am.", true));
    }

    #[test]
    fn an_end_token_adds_no_text_even_with_a_newline_in_it() {
        let stop = Stop { newline: true, tokens: vec![1], ..Stop::default() };
        assert_eq!(run(&[b"a", b"b\nc"], stop).1, "a");
        let stop = Stop { end_of_generation: true, ..Stop::default() };
        let (_, text, ended) = run(&[b"a", b"", b"b"], stop);
        assert_eq!((text.as_str(), ended), ("a", true));
    }

    #[test]
    fn newlines_go_on_where_they_are_no_stop() {
        let (_, text, ended) = run(&[b"a\n", b"b"], Stop::default());
        assert_eq!((text.as_str(), ended), ("a\nb", false));
    }

    #[test]
    fn a_stop_string_across_tokens_is_cut_off_and_never_shown() {
        let stop = Stop { strings: vec!["### End".into(), "Person:".into()], ..Stop::default() };
        let (shown, text, ended) = run(&[b"bye", b" #", b"#", b"# E", b"nd of", b" it"], stop);
        assert_eq!((text.as_str(), ended), ("bye ", true));
        assert_eq!(shown, ["bye", " "]);
    }

    #[test]
    fn what_only_looked_like_a_stop_string_is_shown_after_all() {
        let stop = Stop { strings: vec!["### End".into()], ..Stop::default() };
        let (shown, text, ended) = run(&[b"a ###", b" E", b"njoy", b" ##"], stop);
        assert_eq!((text.as_str(), ended), ("a ### Enjoy ##", false));
        assert_eq!(shown, ["a ", "### Enjoy", " ", "##"]);
    }

    #[test]
    fn characters_are_shown_whole_only() {
        let bytes = "é🙂".as_bytes();
        let tokens: Vec<&[u8]> = bytes.chunks(1).collect();
        let (shown, text, _) = run(&tokens, Stop::default());
        assert_eq!((shown, text.as_str()), (vec!["é".to_owned(), "🙂".to_owned()], "é🙂"));
        let (_, text, _) = run(&[b"ok \xF0\x9F", b"\x99"], Stop::default());
        assert_eq!(text, "ok ");
        let (_, text, _) = run(&[b"a\xFF", b"\xF0\x9Fb"], Stop::default());
        assert_eq!(text, "a\u{FFFD}\u{FFFD}b");
    }
}

//! From generated text to what is said: trimming, and cutting at the last whole sentence.

use friend_gguf::request::{Completion, Finish};
use unicode_segmentation::UnicodeSegmentation as _;

/// The reply as it is sent: trimmed, and if it was cut at the token limit, only its whole sentences.
pub fn finished(completion: &Completion, whole_sentences: bool) -> String {
    let text = completion.text.trim();
    if completion.finish == Finish::Length && whole_sentences { whole(text).to_owned() } else { text.to_owned() }
}

/// The reply so far, as a draft shows it.
pub fn preview(text: &str) -> &str {
    text.trim()
}

/// Up to the end of the last whole sentence; all of it if there is none.
fn whole(text: &str) -> &str {
    let ends = |sentence: &&str| {
        let closed = sentence.trim_end().trim_end_matches(['"', '\'', '”', '’', ')', '*', '_']);
        closed.ends_with(['.', '!', '?', '…', '。', '！', '？']) || closed.chars().last().is_some_and(is_pictograph)
    };
    let mut kept = 0;
    for (start, sentence) in text.split_sentence_bound_indices() {
        if ends(&sentence) {
            kept = start + sentence.len();
        }
    }
    if kept == 0 { text } else { text[..kept].trim_end() }
}

fn is_pictograph(c: char) -> bool {
    matches!(u32::from(c), 0x2600..=0x27BF | 0x1F300..=0x1FAFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> String {
        let completion = Completion { text: text.into(), finish: Finish::Length, usage: Default::default() };
        finished(&completion, true)
    }

    #[test]
    fn a_cut_reply_ends_with_its_last_whole_sentence() {
        assert_eq!(cut(" I like tea. Do you? I also lik"), "I like tea. Do you?");
        assert_eq!(cut("He said \"no!\" and then"), "He said \"no!\"");
        assert_eq!(cut("So happy for you 🎉 and I wo"), "So happy for you 🎉 and I wo", "no sentence ends there");
        assert_eq!(cut("no end at all"), "no end at all");
    }

    #[test]
    fn a_reply_that_ended_by_itself_is_only_trimmed() {
        let completion = Completion { text: " ok then ".into(), finish: Finish::Stop, usage: Default::default() };
        assert_eq!(finished(&completion, true), "ok then");
    }
}

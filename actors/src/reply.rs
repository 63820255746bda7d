//! From generated text to what is said: trimming, and cutting at the last whole sentence.

use friend_gguf::request::{Completion, Finish};
use unicode_segmentation::UnicodeSegmentation as _;

/// The reply as it is sent: trimmed, and if it was cut at the token limit, only its whole sentences. Empty where nothing of it can be
/// seen, which Telegram refuses for good.
pub fn finished(completion: &Completion, whole_sentences: bool) -> String {
    let text = completion.text.trim();
    if text.chars().all(is_unseen) {
        return String::new();
    }
    if completion.finish == Finish::Length && whole_sentences { whole(text).to_owned() } else { text.to_owned() }
}

/// The reply so far, as a draft shows it.
pub fn preview(text: &str) -> &str {
    text.trim()
}

/// Up to the end of the last whole sentence; all of it if there is none.
fn whole(text: &str) -> &str {
    let kept = sentences(text);
    if kept.is_empty() { text } else { kept }
}

/// Up to the end of the last whole sentence; nothing if there is none.
pub fn sentences(text: &str) -> &str {
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
    text[..kept].trim_end()
}

/// White space, and characters that only join, direct or vary others.
fn is_unseen(c: char) -> bool {
    let joins = matches!(u32::from(c), 0x180E | 0x200B..=0x200F | 0x2028..=0x202E | 0x2060..=0x206F | 0xFE00..=0xFE0F);
    let blank = matches!(u32::from(c), 0x2800 | 0xFEFF | 0xFFFC | 0xE0000..=0xE007F);
    c.is_whitespace() || c.is_control() || joins || blank
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
    fn a_reply_of_which_nothing_can_be_seen_is_none() {
        for text in [" \u{200d} ", "\u{feff}\u{2800}", "\u{fe0f}"] {
            let completion = Completion { text: text.into(), finish: Finish::Stop, usage: Default::default() };
            assert_eq!(finished(&completion, true), "", "{text:?}");
        }
        assert_eq!(cut("\u{2764}\u{fe0f}"), "\u{2764}\u{fe0f}");
    }

    #[test]
    fn a_reply_that_ended_by_itself_is_only_trimmed() {
        let completion = Completion { text: " ok then ".into(), finish: Finish::Stop, usage: Default::default() };
        assert_eq!(finished(&completion, true), "ok then");
    }
}

//! The same words in other tokens.
//!
//! A model writes some words in other tokens than the tokenizer would. When its answer comes back as part of the next
//! prompt, it is tokenised anew: the words are those that the conversation's lane holds, the tokens are not, and all that
//! follows would be computed again. So the prompt takes over the lane's tokens as far as their words agree.

use crate::backend::{Token, Vocabulary};

/// How far `prompt` says the same as `held`: tokens of each, both ending at the same character. `common` are those in
/// which they agree anyway.
///
/// Control tokens have no words: they agree only with themselves.
pub fn same_words(vocabulary: &Vocabulary, held: &[Token], prompt: &[Token], common: usize) -> (usize, usize) {
    let (mut in_held, mut in_prompt) = (common, common);
    let mut same = (common, common);
    // Bytes by which one of them is ahead of the other.
    let mut ahead: Vec<u8> = Vec::new();
    let mut held_leads = false;
    loop {
        if ahead.is_empty() {
            same = (in_held, in_prompt);
            let (Some(one), Some(other)) = (held.get(in_held), prompt.get(in_prompt)) else { return same };
            if one == other {
                in_held += 1;
                in_prompt += 1;
                continue;
            }
            held_leads = false;
        }
        let behind = if held_leads { prompt.get(in_prompt) } else { held.get(in_held) };
        let bytes = behind.map_or(&[][..], |token| vocabulary.bytes(*token));
        let both = bytes.len().min(ahead.len());
        if bytes.is_empty() || bytes[..both] != ahead[..both] {
            return same;
        }
        *(if held_leads { &mut in_prompt } else { &mut in_held }) += 1;
        if bytes.len() > both {
            ahead = bytes[both..].to_vec();
            held_leads = !held_leads;
        } else {
            ahead.drain(..both);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 0 to 5 are "a", "b", "ab", "ba", "aba" and a control token.
    fn vocabulary() -> Vocabulary {
        let texts = ["a", "b", "ab", "ba", "aba", ""];
        Vocabulary::new(texts.map(|text| (text.as_bytes().to_vec(), false)), None)
    }

    fn same(held: &[Token], prompt: &[Token]) -> (usize, usize) {
        let common = held.iter().zip(prompt).take_while(|(one, other)| one == other).count();
        same_words(&vocabulary(), held, prompt, common)
    }

    #[test]
    fn other_tokens_of_the_same_words_agree() {
        assert_eq!(same(&[0, 1, 0, 5], &[4, 5, 1]), (4, 2), "a b a and aba, and the control token after them");
        assert_eq!(same(&[2, 0], &[0, 3]), (2, 2));
        assert_eq!(same(&[4], &[0, 1, 0]), (1, 3));
    }

    #[test]
    fn they_agree_up_to_the_last_border_of_both() {
        assert_eq!(same(&[0, 1, 0, 1], &[2, 4]), (2, 1), "after ab the one goes on with a b, the other with aba");
        assert_eq!(same(&[0, 1], &[1, 0]), (0, 0));
        assert_eq!(same(&[0, 0], &[4]), (0, 0), "it fits at first, and then not");
        assert_eq!(same(&[], &[0]), (0, 0));
    }

    #[test]
    fn a_control_token_is_no_words() {
        assert_eq!(same(&[0, 5], &[0, 1]), (1, 1));
        assert_eq!(same(&[0, 1], &[0, 5]), (1, 1));
        assert_eq!(same(&[2, 5, 0], &[0, 1, 5, 0]), (3, 4));
    }

    proptest! {
        #[test]
        fn what_agrees_is_the_same_text_and_no_more_could(held in prop::collection::vec(0_u32..6, 0..12), prompt in prop::collection::vec(0_u32..6, 0..12)) {
            let vocabulary = vocabulary();
            let text = |tokens: &[Token]| -> Vec<u8> {
                tokens.iter().flat_map(|token| if *token == 5 { b"|" } else { vocabulary.bytes(*token) }.to_vec()).collect()
            };
            let (one, other) = same(&held, &prompt);
            prop_assert_eq!(text(&held[..one]), text(&prompt[..other]));
            for longer in one + 1..=held.len() {
                prop_assert!((other + 1..=prompt.len()).all(|rest| text(&held[..longer]) != text(&prompt[..rest])));
            }
        }
    }
}

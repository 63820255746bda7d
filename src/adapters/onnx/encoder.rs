//! Text → token ids, bounded in length, and which texts share a run.

use std::{borrow::Cow, ops::Range, path::Path};

use friend_actors::ports::ScoreError;
use tokenizers::Tokenizer;

use super::OnnxError;

/// Longer texts are shortened before the tokenizer sees them. No Telegram message is longer: 4096 UTF-16 units are at most
/// 12 KiB of UTF-8.
const MAX_BYTES: usize = 16 << 10;

/// A run holds at most this many tokens, padding included, unless one message alone has more. On one thread a token costs
/// least in runs of 64 to 256 (their activations stay in a core's own cache) and about a third more in runs of 1024.
const MAX_RUN_TOKENS: usize = 128;

/// Padding that a run may carry, as a fraction of its tokens.
const MAX_PADDING: f64 = 0.15;

/// The tokenizer of a model folder.
///
/// A message of more than `max_tokens` tokens keeps the first half and the last half of them: people say what it is about
/// at the beginning and how they feel about it at the end (head and tail together beat either alone in Sun et al. 2019,
/// "How to Fine-Tune BERT for Text Classification?", §5.3).
pub struct Encoder {
    tokenizer: Tokenizer,
    max_tokens: usize,
    pad_id: i64,
}

impl Encoder {
    /// Reads `tokenizer.json`. Its own padding and truncation are put aside: ours depend on the batch.
    ///
    /// # Errors
    /// [`OnnxError::File`] if it cannot be read.
    pub fn load(file: &Path, max_tokens: usize) -> Result<Self, OnnxError> {
        let damaged = |why: String| OnnxError::File { file: file.to_owned(), why };
        let mut tokenizer = Tokenizer::from_file(file).map_err(|error| damaged(error.to_string()))?;
        let pad_id = tokenizer.get_padding().map(|padding| padding.pad_id);
        let pad_id = pad_id.or_else(|| ["[PAD]", "<pad>"].iter().find_map(|token| tokenizer.token_to_id(token)));
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(|error| damaged(error.to_string()))?;
        Ok(Self { tokenizer, max_tokens: max_tokens.max(4), pad_id: i64::from(pad_id.unwrap_or(0)) })
    }

    /// The token that fills a row up; the attention mask hides it.
    pub fn pad_id(&self) -> i64 {
        self.pad_id
    }

    /// One text's ids, special tokens included: 1 to `max_tokens` of them.
    ///
    /// # Errors
    /// [`ScoreError::Model`] if the tokenizer fails, or gives nothing.
    pub fn encode(&self, text: &str) -> Result<Vec<i64>, ScoreError> {
        let encoding = self.tokenizer.encode_fast(shortened(text).as_ref(), true);
        let encoding = encoding.map_err(|_| ScoreError::Model("the tokenizer refused a text".to_owned()))?;
        let ids = encoding.get_ids();
        let head = self.max_tokens / 2;
        let kept: Vec<i64> = if ids.len() <= self.max_tokens {
            ids.iter().copied().map(i64::from).collect()
        } else {
            let tail = &ids[ids.len() - (self.max_tokens - head)..];
            ids[..head].iter().chain(tail).copied().map(i64::from).collect()
        };
        if kept.is_empty() { Err(ScoreError::Model("the tokenizer gave no tokens".to_owned())) } else { Ok(kept) }
    }
}

/// The first and the last half of an overlong text, cut between characters.
fn shortened(text: &str) -> Cow<'_, str> {
    if text.len() <= MAX_BYTES {
        return Cow::Borrowed(text);
    }
    let head = text.floor_char_boundary(MAX_BYTES / 2);
    let tail = text.ceil_char_boundary(text.len() - MAX_BYTES / 2);
    Cow::Owned(format!("{} {}", &text[..head], &text[tail..]))
}

/// Which texts share a run: `order` has the indices of `lengths` sorted by length, and each range of it is one run, with
/// little padding and a bounded number of tokens.
pub fn runs(lengths: &[usize]) -> (Vec<usize>, Vec<Range<usize>>) {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&index| lengths[index]);
    let mut runs = Vec::new();
    let (mut start, mut real) = (0, 0);
    for at in 0..order.len() {
        let longest = lengths[order[at]]; // sorted: the newest is the longest
        let padded = longest * (at + 1 - start);
        let padding = (padded - real - longest) as f64 / padded as f64;
        if at > start && (padded > MAX_RUN_TOKENS || padding > MAX_PADDING) {
            runs.push(start..at);
            (start, real) = (at, 0);
        }
        real += longest;
    }
    if start < order.len() {
        runs.push(start..order.len());
    }
    (order, runs)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_megabyte_is_cut_between_characters_and_keeps_both_ends() {
        let text = format!("start {} end", "😀".repeat(300_000));
        let short = shortened(&text);
        assert!(short.len() <= MAX_BYTES + 8);
        assert!(short.starts_with("start 😀") && short.ends_with("😀 end"));
        assert_eq!(shortened("as it is"), "as it is");
    }

    #[test]
    fn messages_of_one_length_share_one_run() {
        assert_eq!(runs(&[8; 16]).1, vec![0..16]);
        assert!(runs(&[]).1.is_empty());
    }

    #[test]
    fn a_long_message_does_not_pad_the_short_ones() {
        assert_eq!(runs(&[5, 120, 5, 5]), (vec![0, 2, 3, 1], vec![0..3, 3..4]));
    }

    proptest! {
        #[test]
        fn every_text_is_in_exactly_one_bounded_run(lengths in prop::collection::vec(1_usize..=512, 0..200)) {
            let (order, runs) = runs(&lengths);
            let mut seen: Vec<usize> = runs.iter().flat_map(|run| order[run.clone()].iter().copied()).collect();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..lengths.len()).collect::<Vec<_>>());
            for run in runs {
                let longest = order[run.clone()].iter().map(|&index| lengths[index]).max().unwrap_or(0);
                let real: usize = order[run.clone()].iter().map(|&index| lengths[index]).sum();
                prop_assert!(run.len() == 1 || longest * run.len() <= MAX_RUN_TOKENS);
                prop_assert!((longest * run.len() - real) as f64 <= MAX_PADDING * (longest * run.len()) as f64);
            }
        }
    }
}

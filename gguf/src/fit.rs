//! Turns a prompt's pieces into tokens, and makes it fit: old turns leave whole, the newest always stays.
//!
//! When the context is full, turns leave down to 60% of it at once. One at a time would move every later token each
//! turn, and the whole history would be computed again for every answer.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use crate::backend::{Backend, Token};
use crate::pieces::PieceCache;
use crate::request::{GenerateError, Piece, Prompt};

/// A prompt as tokens, short enough for the context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fitted {
    /// Prefix, what is the conversation's own, kept turns, tail.
    pub tokens: Vec<Token>,
    /// The prefix alone: the first tokens of `tokens`.
    pub prefix: Arc<[Token]>,
    /// Old turns left out.
    pub dropped_turns: usize,
    /// Hash of the oldest turns kept.
    pub first_turn: u64,
}

/// Of four parts of the turns that were given, a conversation's lane may begin behind so many, where it would not be cut behind more
/// anyway: somebody may say "ok" twice, and nearly nothing would be left.
const LATEST_BEGINNING: usize = 3;

/// Turns by which a lane's beginning is known again. Two were not enough: who says "hi" and is greeted with the same words once more
/// would have lost all that was said before.
const TELLING_TURNS: usize = 4;

/// Characters of a line at most, with the blanks behind it. Where llama.cpp has no splitter of its own for a tokenizer it splits
/// texts with `std::regex`, whose matches do not go on behind a line's end, and which recurses for each of their characters: by
/// 321 bytes (GCC 12), so that these take a third of the stack of the [engine's thread](crate::thread).
const LONGEST_LINE: usize = 1 << 16;

/// Share of the context that is left filled after turns were dropped, in percent.
const REFILL_PERCENT: usize = 60;

/// What a prompt must fit.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Tokens of prompt and answer together.
    pub context: usize,
    /// Tokens of the longest answer.
    pub new_tokens: usize,
}

/// Tokenises `prompt` so that it and the answer fit the context.
///
/// `anchor` is the [`Fitted::first_turn`] of the conversation's lane: a prompt that begins earlier, or must be shortened, is
/// cut there again where that suffices, so that the lane can be continued.
///
/// # Errors
/// [`GenerateError::PromptTooLong`] where prefix, what is the conversation's own, newest turn, tail and answer alone do not fit.
pub fn fit(
    backend: &impl Backend,
    pieces: &mut PieceCache,
    prompt: &Prompt,
    room: Room,
    anchor: Option<u64>,
) -> Result<Fitted, GenerateError> {
    let mut budget = Budget { available: room.context, needed: room.new_tokens, pieces };
    let mut prefix = budget.tokenize(backend, &prompt.prefix, true)?;
    if let Some(bos) = backend.vocabulary().bos().filter(|bos| prefix.first() != Some(bos)) {
        prefix.insert(0, bos);
        budget.spend(1)?;
    }
    let own = budget.tokenize(backend, &prompt.own, false)?;
    let tail = budget.tokenize(backend, &prompt.tail, false)?;

    // From the newest turn back, as far as they fit: what is older is not even tokenised.
    let mut turns: Vec<Vec<Token>> = Vec::new();
    for (index, turn) in prompt.turns.iter().rev().enumerate() {
        let before = budget.needed;
        match budget.tokenize(backend, turn, false) {
            Ok(tokens) => turns.push(tokens),
            Err(error) if index == 0 => return Err(error),
            Err(_) => {
                budget.needed = before;
                break;
            }
        }
    }
    turns.reverse();
    let all = prompt.turns.len();
    let fits_from = all - turns.len();
    // Where it would be cut anew.
    let (mut needed, mut cut) = (budget.needed, fits_from);
    while fits_from > 0 && needed > room.context * REFILL_PERCENT / 100 && cut + 1 < all {
        needed -= turns[cut - fits_from].len();
        cut += 1;
    }
    // Of a lane that was left fewer turns than tell its beginning, the anchor is that of those few; of one turn alone, which is often
    // said again, it counts only where the prompt must be cut anyway.
    let is_anchor = |index: usize, turns: usize| {
        let alone = turns == 1;
        (!alone || fits_from > 0 && index <= cut)
            && prompt.turns.get(index..index + turns).is_some_and(|turns| Some(hash(turns)) == anchor)
    };
    let lane_begins = |index: &usize| (1..=TELLING_TURNS).any(|turns| is_anchor(*index, turns));
    let may_begin = |index: &usize| *index <= cut || index * 4 <= all * LATEST_BEGINNING;
    let first = (fits_from..all).take_while(may_begin).find(lane_begins).unwrap_or(cut);
    turns.drain(..first - fits_from);

    let mut tokens = prefix.clone();
    tokens.extend(own);
    tokens.extend(turns.into_iter().flatten());
    tokens.extend(tail);
    if tokens.is_empty() {
        return Err(GenerateError::Invalid("the prompt is empty".into()));
    }
    let first_turn = hash(&prompt.turns[first..all.min(first + TELLING_TURNS)]);
    Ok(Fitted { tokens, prefix: prefix.into(), dropped_turns: first, first_turn })
}

struct Budget<'a> {
    available: usize,
    needed: usize,
    pieces: &'a mut PieceCache,
}

impl Budget<'_> {
    fn spend(&mut self, tokens: usize) -> Result<(), GenerateError> {
        self.needed += tokens;
        if self.needed > self.available {
            return Err(GenerateError::PromptTooLong { needed: self.needed, available: self.available });
        }
        Ok(())
    }

    /// The tokens of some pieces, the first of which may be the text's first.
    fn tokenize(&mut self, backend: &impl Backend, pieces: &[Piece], first: bool) -> Result<Vec<Token>, GenerateError> {
        // A megabyte of text that cannot possibly fit is refused by its length, before any work.
        let bytes: usize = pieces.iter().map(|piece| piece.text.len()).sum();
        let at_least = bytes / backend.vocabulary().longest();
        if self.needed + at_least > self.available {
            return Err(GenerateError::PromptTooLong { needed: self.needed + at_least, available: self.available });
        }
        let long = pieces.iter().filter(|piece| piece.text.len() > LONGEST_LINE);
        let line = long.map(|piece| longest_line(&piece.text)).max().unwrap_or(0);
        if line > LONGEST_LINE {
            // As if each of its characters were a token: so a caller who leaves out what is too much comes below the bound.
            let needed = (self.needed + line).max(self.available + 1);
            return Err(GenerateError::PromptTooLong { needed, available: self.available });
        }
        let mut tokens = Vec::new();
        for (index, piece) in pieces.iter().enumerate() {
            self.pieces.tokenize(backend, piece, first && index == 0, &mut tokens);
        }
        self.spend(tokens.len())?;
        Ok(tokens)
    }
}

/// Characters of the longest line; the blanks behind its end count with it, empty lines among them.
fn longest_line(text: &str) -> usize {
    let (mut longest, mut length, mut ended) = (0, 0, false);
    for character in text.chars() {
        if ended && !character.is_whitespace() {
            (length, ended) = (0, false);
        }
        length += 1;
        longest = longest.max(length);
        ended |= character == '\n';
    }
    longest
}

fn hash(turns: &[Vec<Piece>]) -> u64 {
    let mut hasher = DefaultHasher::new();
    turns.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::ScriptedBackend;

    fn fit(
        backend: &ScriptedBackend,
        prompt: &Prompt,
        new_tokens: usize,
        context: usize,
        anchor: Option<u64>,
    ) -> Result<Fitted, GenerateError> {
        super::fit(backend, &mut PieceCache::default(), prompt, Room { context, new_tokens }, anchor)
    }

    /// The scripted backend has one token a byte, so lengths can be read off the texts.
    fn prompt(turns: &[&str]) -> Prompt {
        Prompt {
            prefix: vec![Piece::template("PREFIX")],
            own: Vec::new(),
            turns: turns.iter().map(|turn| vec![Piece::plain(*turn)]).collect(),
            tail: vec![Piece::template(">>")],
        }
    }

    fn text(fitted: &Fitted) -> String {
        fitted.tokens.iter().map(|token| char::from(u8::try_from(*token).unwrap())).collect()
    }

    #[test]
    fn what_fits_stays_whole() {
        let fitted = fit(&ScriptedBackend::default(), &prompt(&["one.", "two."]), 10, 26, None).unwrap();
        assert_eq!(text(&fitted), "PREFIXone.two.>>");
        assert_eq!((fitted.prefix.len(), fitted.dropped_turns), (6, 0));
    }

    #[test]
    fn old_turns_leave_down_to_sixty_percent_and_the_cut_stays_where_it_was() {
        let backend = ScriptedBackend::default();
        let turns: Vec<String> = (0..30).map(|turn| format!("turn {turn:02}...")).collect();
        let mut anchor = None;
        let mut cuts = Vec::new();
        for count in 1..=turns.len() {
            let turns: Vec<_> = turns[..count].iter().map(String::as_str).collect();
            let fitted = fit(&backend, &prompt(&turns), 12, 100, anchor).unwrap();
            assert!(fitted.tokens.len() + 12 <= 100);
            assert!(text(&fitted).ends_with(&format!("{}>>", turns[count - 1])));
            anchor = Some(fitted.first_turn);
            cuts.push(fitted.dropped_turns);
        }
        // 80 of 100 tokens are for turns of 10: eight fit, the ninth leaves four.
        let kept = [(0, 8), (5, 5), (10, 5), (15, 5), (20, 5), (25, 2)];
        assert_eq!(cuts, kept.map(|(cut, times)| vec![cut; times]).concat());
    }

    #[test]
    fn a_message_that_was_left_alone_is_still_there_when_the_next_one_comes() {
        let (old, large, backend) = ("o".repeat(30), "l".repeat(60), ScriptedBackend::default());
        let held = fit(&backend, &prompt(&[&old, &large]), 12, 100, None).unwrap();
        assert_eq!(held.dropped_turns, 1);
        let later = prompt(&[&old, &large, "reply.", "why?"]);
        let fitted = fit(&backend, &later, 12, 100, Some(held.first_turn)).unwrap();
        assert_eq!((text(&fitted), fitted.dropped_turns), (format!("PREFIX{large}reply.why?>>"), 1));
        assert_eq!(
            fit(&backend, &later, 12, 100, None).unwrap().dropped_turns,
            2,
            "and the lane would be worth nothing"
        );
    }

    #[test]
    fn a_prompt_that_begins_before_the_lane_is_cut_where_the_lane_begins() {
        let backend = ScriptedBackend::default();
        let held = fit(&backend, &prompt(&["two.", "three.", "four."]), 10, 100, None).unwrap();
        let longer = prompt(&["one.", "two.", "three.", "four.", "five."]);
        let fitted = fit(&backend, &longer, 10, 100, Some(held.first_turn)).unwrap();
        assert_eq!((text(&fitted).as_str(), fitted.dropped_turns), ("PREFIXtwo.three.four.five.>>", 1));
        assert_eq!(fit(&backend, &longer, 10, 100, None).unwrap().dropped_turns, 0);
    }

    #[test]
    fn what_is_the_conversations_own_stays_when_turns_leave_and_is_no_part_of_the_shared_prefix() {
        let mut told = prompt(&["one.", "two.", "three."]);
        told.own = vec![Piece::plain("[own]")];
        let fitted = fit(&ScriptedBackend::default(), &told, 10, 30, None).unwrap();
        assert_eq!((text(&fitted).as_str(), fitted.dropped_turns), ("PREFIX[own]three.>>", 2));
        assert_eq!(fitted.prefix.len(), 6);
    }

    #[test]
    fn words_that_were_said_twice_do_not_cost_the_history() {
        let backend = ScriptedBackend::default();
        let held = fit(&backend, &prompt(&["ok.", "fine.", "hm."]), 10, 100, None).unwrap();
        let later = prompt(&["zero.", "one.", "ok.", "three.", "four.", "five.", "six.", "ok.", "fine."]);
        assert_eq!(fit(&backend, &later, 10, 100, Some(held.first_turn)).unwrap().dropped_turns, 0);
    }

    #[test]
    fn a_greeting_that_was_said_twice_does_not_cost_the_history_either() {
        let backend = ScriptedBackend::default();
        let held = fit(&backend, &prompt(&["hi.", "hey.", "a.", "b.", "c."]), 10, 100, None).unwrap();
        let later = prompt(&["b.", "c.", "d.", "hi.", "hey.", "f.", "g.", "h.", "i."]);
        assert_eq!(fit(&backend, &later, 10, 100, Some(held.first_turn)).unwrap().dropped_turns, 0);
    }

    #[test]
    fn a_prompt_that_can_never_fit_is_refused_with_both_numbers() {
        let error =
            fit(&ScriptedBackend::default(), &prompt(&["short", "a long newest turn"]), 5, 20, None).unwrap_err();
        assert_eq!(error, GenerateError::PromptTooLong { needed: 31, available: 20 });
        let megabytes = "x".repeat(4_000_000);
        let error = fit(&ScriptedBackend::default(), &prompt(&[&megabytes]), 5, 20, None).unwrap_err();
        assert!(matches!(error, GenerateError::PromptTooLong { needed, .. } if needed > 4_000_000));
    }

    #[test]
    fn a_line_too_long_to_be_split_is_refused_however_large_the_context_is() {
        let (backend, context) = (ScriptedBackend::default(), 1 << 20);
        let fitted = |turns: &[&str]| fit(&backend, &prompt(turns), 5, context, None);
        for unit in ["x", " ", "\n", "x "] {
            let long = unit.repeat(LONGEST_LINE + 1);
            let error = fitted(&[long.as_str()]).unwrap_err();
            assert!(
                matches!(error, GenerateError::PromptTooLong { needed, available } if needed > available),
                "{unit:?}"
            );
            let later = fitted(&[long.as_str(), "hi."]).unwrap();
            assert_eq!((text(&later).as_str(), later.dropped_turns), ("PREFIXhi.>>", 1), "an old turn just leaves");
        }
        let line = "x".repeat(LONGEST_LINE - 1);
        let lines = format!("{line}\n{line}\n{line}");
        assert_eq!(fitted(&[lines.as_str()]).unwrap().tokens.len(), "PREFIX>>".len() + lines.len());
    }

    #[test]
    fn a_model_with_a_bos_token_gets_it_once() {
        let backend = ScriptedBackend::default().with_bos(b'^');
        let fitted = fit(&backend, &prompt(&["a"]), 1, 50, None).unwrap();
        assert_eq!(text(&fitted), "^PREFIXa>>");
        let mut own = prompt(&["a"]);
        own.prefix = vec![Piece::template("^P")];
        assert_eq!(text(&fit(&backend, &own, 1, 50, None).unwrap()), "^Pa>>");
    }
}

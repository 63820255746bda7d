//! The conversation trace: users who talk in turns, modes that switch, lengths that are locked.

use std::net::SocketAddr;
use std::time::Instant;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use crate::client::{Answer, complete};
use crate::{median, percentile};

/// Turns of a user, each so many in this range.
pub const TURNS: std::ops::RangeInclusive<usize> = 4..=8;
/// Tokens of every answer.
pub const ANSWER: u32 = 32;
/// As the bot's personas are drawn in the trace.
const TEMPERATURE: f32 = 0.7;
/// Chance that a turn is in another mode than the one before.
pub const SWITCH: f64 = 0.15;

const MODES: [&str; 3] = [
    "Get to know a person by chit-chatting and providing long answers and questions. Try not to end the dialogue as long as possible. Complete a phrase, acting like an interlocutor.",
    "Enjoy good news with a person by chit-chatting and asking warm questions about what happened. Be glad with them. Complete a phrase, acting like an interlocutor.",
    "Try to understand why a person experiences negative emotions. And politely establish a good relationship with him. Complete a phrase, acting like an interlocutor.",
];
const INTRO: &str = "You are 20 years old, your name is Arthur, you are a friendly young man, designer from San Francisco. You are a kind and empathetic interlocutor. You are talking to a new person. Below is an instruction that describes a task.";
const WORDS: [&str; 40] = [
    "today", "my", "dog", "was", "very", "happy", "and", "we", "went", "to", "the", "park", "but", "it", "rained",
    "so", "I", "stayed", "home", "with", "some", "tea", "because", "work", "is", "hard", "lately", "what", "do", "you",
    "think", "about", "music", "or", "films", "really", "love", "this", "city", "night",
];

/// Which side is asked: the wire is the same, the prompt's form is not.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Pieces and an owner.
    Ours,
    /// One text.
    Peer,
}

/// One run of the trace as its users saw it.
#[derive(Debug)]
pub struct Seen {
    /// Answers of the whole run.
    pub answers: usize,
    /// Generated tokens per second of the whole run.
    pub tokens: f64,
    /// Time to first token, seconds.
    pub ttft_p50: f64,
    /// The same for the slowest hundredth.
    pub ttft_p99: f64,
    /// Time between tokens, seconds, for the slowest hundredth.
    pub itl_p99: f64,
    /// Prompt tokens computed.
    pub prompt_tokens: f64,
}

/// Plays `users` at once, each its own number of turns.
pub fn play(address: SocketAddr, side: Side, users: usize, seed: u64) -> Result<Seen, Box<dyn std::error::Error>> {
    let started = Instant::now();
    let threads: Vec<_> =
        (0..users).map(|user| std::thread::spawn(move || converse(address, side, user, seed))).collect();
    let mut answers = Vec::new();
    for thread in threads {
        answers.extend(thread.join().map_err(|_| "a user panicked")?.map_err(|error| error.to_string())?);
    }
    let seconds = started.elapsed().as_secs_f64();
    let first: Vec<f64> = answers.iter().map(|answer| answer.first).collect();
    let gaps: Vec<f64> = answers.iter().flat_map(|answer| answer.gaps.iter().copied()).collect();
    Ok(Seen {
        answers: answers.len(),
        tokens: answers.len() as f64 * f64::from(ANSWER) / seconds,
        ttft_p50: median(&first),
        ttft_p99: percentile(&first, 0.99),
        itl_p99: percentile(&gaps, 0.99),
        prompt_tokens: answers.iter().map(|answer| answer.prompt_tokens).sum(),
    })
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn converse(address: SocketAddr, side: Side, user: usize, seed: u64) -> Result<Vec<Answer>, Failure> {
    let mut random = ChaCha8Rng::seed_from_u64(seed * 1000 + user as u64);
    let mut mode = random.random_range(0..MODES.len());
    let mut turns: Vec<(&str, String)> = Vec::new();
    let mut answers = Vec::new();
    for _ in 0..random.random_range(TURNS) {
        if random.random_bool(SWITCH) {
            mode = (mode + 1) % MODES.len();
        }
        turns.push(("user", words(&mut random, 6..24)));
        let owner = seed * 100_000 + user as u64;
        let answer = complete(address, &body(side, owner, &format!("{INTRO}\n{}", MODES[mode]), &turns, ANSWER))?;
        turns.push(("assistant", answer.text.clone()));
        answers.push(answer);
    }
    Ok(answers)
}

/// Random words, so that no two users share more than the prefix.
pub fn words(random: &mut ChaCha8Rng, count: std::ops::Range<usize>) -> String {
    let count = random.random_range(count);
    let words: Vec<_> = (0..count).map(|_| WORDS[random.random_range(0..WORDS.len())]).collect();
    words.join(" ")
}

/// The request for one answer.
pub fn body(side: Side, owner: u64, system: &str, turns: &[(&str, String)], tokens: u32) -> Value {
    let before = |role: &str| format!("<|im_start|>{role}\n");
    let after = "<|im_end|>\n";
    match side {
        Side::Ours => {
            let pieces = |role: &str, text: &str| json!([[true, before(role)], [false, text], [true, after]]);
            json!({
                "owner": owner,
                "prefix": pieces("system", system),
                "turns": turns.iter().map(|(role, text)| pieces(role, text)).collect::<Vec<_>>(),
                "tail": [[true, before("assistant")]],
                "n_predict": tokens,
                "seed": owner,
                "temperature": TEMPERATURE,
            })
        }
        Side::Peer => {
            let mut prompt = before("system") + system + after;
            for (role, text) in turns {
                prompt += &(before(role) + text + after);
            }
            prompt += &before("assistant");
            json!({
                "prompt": prompt, "n_predict": tokens, "stream": true, "ignore_eos": true, "cache_prompt": true,
                "seed": owner, "temperature": TEMPERATURE, "top_k": 100, "top_p": 0.9, "min_p": 0.0, "repeat_penalty": 1.1,
                "repeat_last_n": 2048, "samplers": ["penalties", "top_k", "temperature", "top_p"],
            })
        }
    }
}

//! People who come back after their conversation lost its lane: copied back from ordinary memory, beside computed anew.

use std::time::{Duration, Instant};

use friend_gguf::batcher::{Batcher, Settings};
use friend_gguf::llama::{self, LlamaBackend};
use friend_gguf::mailbox::Mailbox;
use friend_gguf::request::{Completion, OwnerId, Piece, Prompt, Request, Sampling, Stop};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value, json};

use crate::trace::words;
use crate::{Options, median, spread};

/// More than the lanes, those of prefixes included.
const PEOPLE: u64 = 28;
const LANES: u32 = 4;
/// Turns that were said before, and words of each: about 570 tokens.
const TURNS: usize = 20;
const WORDS: std::ops::Range<usize> = 20..28;
type Failure = Box<dyn std::error::Error>;

/// More people than lanes, each with a long conversation, who write once more one after the other.
pub fn run(options: &Options) -> Result<Map<String, Value>, Failure> {
    let (mut copied, mut computed) = (Vec::new(), Vec::new());
    let (mut kept, mut bytes) = (0, 0);
    for round in 0..options.rounds as u64 {
        let with = visit(options, round, true)?;
        copied.push(with.first_token);
        (kept, bytes) = (with.restored, with.bytes);
        computed.push(visit(options, round, false)?.first_token);
    }
    let ratio = median(&copied) / median(&computed);
    let milliseconds = |values: &[f64]| spread(&values.iter().map(|seconds| seconds * 1e3).collect::<Vec<_>>());
    println!(
        "back after an eviction, first token: copied from memory {} ms, computed anew {} ms, {ratio:.3} of it; {kept} of {PEOPLE} were copied, {:.0} MB kept at most",
        milliseconds(&copied),
        milliseconds(&computed),
        bytes as f64 / 1e6
    );
    let result = json!({ "copied_s": median(&copied), "computed_s": median(&computed), "ratio": ratio });
    Ok(Map::from_iter([("comeback".into(), result)]))
}

/// How one round went.
struct Visit {
    /// Median time to the first token of those who came back, in seconds.
    first_token: f64,
    restored: u64,
    bytes: u64,
}

fn visit(options: &Options, round: u64, keep: bool) -> Result<Visit, Failure> {
    let config = options.engine(LANES, LANES, 2048, 2048 * LANES);
    let model = llama::load_model(&config.model, config.gpu_layers)?;
    let context = llama::open(&model, None, &config)?;
    let prompts = llama::prompts(&context);
    let backend = LlamaBackend::new(context);
    let slots = LANES as usize;
    let settings = Settings {
        slots,
        rows: slots,
        prompts,
        prefixes: 1,
        parallel_rows: llama::parallel_rows(&config),
        inter_token_target: config.inter_token_target,
        host_bytes: if keep { llama::host_bytes(&config) } else { 0 },
    };
    let mut batcher = Batcher::new(backend, settings);
    let mut random = ChaCha8Rng::seed_from_u64(round);
    let mut said: Vec<Vec<String>> =
        (0..PEOPLE).map(|_| (0..TURNS).map(|_| words(&mut random, WORDS)).collect()).collect();
    let mut first = Vec::new();
    let mut bytes = 0;
    for visit in 0..2 {
        for (owner, history) in (0..).zip(&mut said) {
            let answer = answer(&mut batcher, request(owner, history))?;
            bytes = bytes.max(batcher.status().host_bytes);
            if visit == 1 {
                first.push(answer.usage.time_to_first_token.as_secs_f64());
            }
            history.push(answer.text);
            history.push(words(&mut random, WORDS));
        }
    }
    batcher.check()?;
    Ok(Visit { first_token: median(&first), restored: batcher.status().restored, bytes })
}

fn answer(batcher: &mut Batcher<LlamaBackend<'_>>, request: Request) -> Result<Completion, Failure> {
    let mailbox = Mailbox::new(1);
    let mut ticket = mailbox.submit(request, Instant::now())?;
    mailbox.take(false).jobs.into_iter().for_each(|job| batcher.accept(job));
    while !batcher.is_idle() {
        batcher.step(Instant::now());
    }
    Ok(ticket.done.try_recv()??)
}

fn request(owner: u64, history: &[String]) -> Request {
    Request {
        owner: OwnerId(owner),
        prompt: Prompt {
            prefix: vec![Piece::template("<|im_start|>system\nYou are kind.<|im_end|>\n")],
            own: Vec::new(),
            turns: history.iter().map(|turn| vec![Piece::plain(turn), Piece::template("<|im_end|>\n")]).collect(),
            tail: vec![Piece::template("<|im_start|>assistant\n")],
        },
        sampling: Sampling::default(),
        stop: Stop::default(),
        min_new_tokens: 0,
        max_new_tokens: 8,
        seed: owner,
        time_limit: Duration::from_secs(600),
    }
}

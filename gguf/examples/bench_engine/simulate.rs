//! The trace in virtual time: the real scheduler over a scripted model whose batches take a fixed time and some more for
//! each token. Seconds instead of minutes, and the same on any machine; what it promises has still to be measured: it knows
//! nothing of gaps among streams, and of attention only what is in the average.

use std::time::{Duration, Instant};

use friend_gguf::backend::Limits;
use friend_gguf::batcher::{Batcher, Settings};
use friend_gguf::fake::{Cost, ScriptedBackend, says};
use friend_gguf::mailbox::Mailbox;
use friend_gguf::request::{OwnerId, Piece, Prompt, Request, Sampling, Stop, Ticket};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value};

use crate::trace::{ANSWER, SWITCH, Seen, TURNS};
use crate::{Options, median, percentile};

/// As measured with SmolLM2-135M in Q4_0 on two cores with AVX-512.
const COST: Cost = Cost { batch: Duration::from_millis(12), token: Duration::from_micros(1_300) };
/// Between two batches: drawing tokens, sending them.
const BETWEEN: Duration = Duration::from_micros(1_500);
/// Tokens of a prefix and, about, of a turn; the scripted model has one for each byte.
const PREFIX: usize = 100;
const TURN: std::ops::Range<usize> = 14..42;
const MODES: usize = 3;
const SEEDS: u64 = 9;

struct Person {
    turns: Vec<String>,
    /// That they will say.
    all: usize,
    mode: usize,
    waits: Option<Waits>,
}

struct Waits {
    ticket: Ticket,
    since: Instant,
    last: Option<Instant>,
}

/// Prints what the people of the trace would see, by the median of nine seeds.
pub fn run(options: &Options) -> Result<Map<String, Value>, Box<dyn std::error::Error>> {
    println!("| users | tokens/s | TTFT p50 s | TTFT p99 s | ITL p99 s | prompt tokens |");
    println!("|---|---|---|---|---|---|");
    for &users in &options.users {
        let seen = (1..=SEEDS).map(|seed| play(options, users, seed)).collect::<Result<Vec<_>, _>>()?;
        let middle = |value: fn(&Seen) -> f64| median(&seen.iter().map(value).collect::<Vec<_>>());
        println!(
            "| {users} | {:.1} | {:.2} | {:.2} | {:.3} | {:.0} |",
            middle(|seen| seen.tokens),
            middle(|seen| seen.ttft_p50),
            middle(|seen| seen.ttft_p99),
            middle(|seen| seen.itl_p99),
            middle(|seen| seen.prompt_tokens)
        );
    }
    Ok(Map::new())
}

fn play(options: &Options, users: usize, seed: u64) -> Result<Seen, Box<dyn std::error::Error>> {
    let lanes = users * (MODES + 1);
    let limits = Limits { batch_tokens: 512, lanes, cells: lanes * 2048, context: 2048, vocabulary: 0 };
    let answer = "a".repeat(ANSWER as usize + 1);
    let backend = ScriptedBackend::new(limits).with_script(says(&answer)).with_cost(COST).with_streams();
    let mut batcher = Batcher::new(
        backend,
        Settings {
            slots: users,
            rows: users,
            prompts: 1,
            prefixes: MODES,
            parallel_rows: usize::MAX,
            inter_token_target: options.engine(1, 1, 2048, 0).inter_token_target,
            host_bytes: 0,
        },
    );
    let mailbox = Mailbox::new(users);
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mode = |random: &mut ChaCha8Rng| random.random_range(0..MODES);
    let mut people: Vec<Person> = (0..users)
        .map(|_| Person { turns: Vec::new(), all: random.random_range(TURNS), mode: mode(&mut random), waits: None })
        .collect();
    let (start, mut firsts, mut gaps, mut prompt_tokens) = (Instant::now(), Vec::new(), Vec::new(), 0);
    let mut now = start;
    let answers: usize = people.iter().map(|person| person.all).sum();
    let mut left = answers;
    while left > 0 {
        for (owner, person) in (0..).zip(&mut people) {
            if person.waits.is_none() && person.turns.len() < 2 * person.all {
                if random.random_bool(SWITCH) {
                    person.mode = (person.mode + 1) % MODES;
                }
                person.turns.push("x".repeat(random.random_range(TURN)));
                let ticket = mailbox.submit(request(owner, person), now)?;
                person.waits = Some(Waits { ticket, since: now, last: None });
            }
        }
        mailbox.take(false).jobs.into_iter().for_each(|job| batcher.accept(job));
        let step = batcher.step(now);
        now += step.elapsed + BETWEEN;
        prompt_tokens += step.prefill;
        let status = batcher.status();
        mailbox.publish(status, status.queued, batcher.outlook(now));
        for person in &mut people {
            let Some(waits) = &mut person.waits else { continue };
            if std::iter::from_fn(|| waits.ticket.text.try_recv().ok()).count() > 0 {
                match waits.last {
                    None => firsts.push((now - waits.since).as_secs_f64()),
                    Some(last) => gaps.push((now - last).as_secs_f64()),
                }
                waits.last = Some(now);
            }
            if let Ok(outcome) = waits.ticket.done.try_recv() {
                person.turns.push(format!(">>{}", outcome?.text));
                person.waits = None;
                left -= 1;
            }
        }
    }
    Ok(Seen {
        answers,
        tokens: answers as f64 * f64::from(ANSWER) / (now - start).as_secs_f64(),
        ttft_p50: median(&firsts),
        ttft_p99: percentile(&firsts, 0.99),
        itl_p99: percentile(&gaps, 0.99),
        prompt_tokens: prompt_tokens as f64,
    })
}

fn request(owner: u64, person: &Person) -> Request {
    Request {
        owner: OwnerId(owner),
        prompt: Prompt {
            prefix: vec![Piece::template(format!("{}{}", "p".repeat(PREFIX), person.mode))],
            own: Vec::new(),
            turns: person.turns.iter().map(|turn| vec![Piece::plain(turn)]).collect(),
            tail: vec![Piece::template(">>")],
        },
        sampling: Sampling { do_sample: false, repetition_penalty: 1.0, ..Sampling::default() },
        stop: Stop::default(),
        min_new_tokens: ANSWER,
        max_new_tokens: ANSWER,
        seed: owner,
        time_limit: Duration::from_secs(600),
    }
}

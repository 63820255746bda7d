//! Steady decoding, sampling included, beside llama-batched-bench; beside a busy loop; beside one at a time.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use friend_gguf::batcher::{Batcher, Settings};
use friend_gguf::llama::{self, LlamaBackend};
use friend_gguf::mailbox::Mailbox;
use friend_gguf::request::{KvLayout, OwnerId, Piece, Prompt, Request, Sampling, Stop, Ticket};
use serde_json::{Map, Value, json};

use crate::{Options, median, spread};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Tokens of a prompt and of an answer, as `-npp 64 -ntg 32`.
const PROMPT: usize = 64;
const ANSWER: u32 = 32;

/// Our tokens per second over llama-batched-bench's, by users.
pub fn run(options: &Options) -> Outcome<Map<String, Value>> {
    let (mut ratios, mut by_users) = (Map::new(), Map::new());
    println!("roof: prompt {PROMPT}, decode {ANSWER}, {} threads, tokens/s", options.threads);
    println!("| users | ours | llama-batched-bench | ratio |\n|---|---|---|---|");
    for &users in &options.users {
        let (mut ours, mut roof) = (Vec::new(), Vec::new());
        for _ in 0..options.rounds {
            ours.push(decode_speed(options, users)?);
            if let Some(bench) = &options.batched_bench {
                roof.push(batched_bench(bench, options, users)?.decode);
            }
        }
        let ratio = median(&ours) / median(&roof);
        let told = if roof.is_empty() { "-".to_owned() } else { format!("{ratio:.2}") };
        println!("| {users} | {} | {} | {told} |", spread(&ours), spread(&roof));
        ratios.insert(users.to_string(), json!(ratio));
        by_users.insert(users.to_string(), json!({ "ours": median(&ours), "roof": median(&roof) }));
    }
    Ok(Map::from_iter([
        ("roof_ratio".into(), Value::Object(ratios)),
        ("roof_by_users".into(), Value::Object(by_users)),
    ]))
}

/// Our tokens per second with a busy loop beside us, over ours without.
pub fn busy_neighbour(options: &Options) -> Outcome<Map<String, Value>> {
    let mut ratios = Map::new();
    for users in [8, 32] {
        let (mut idle, mut busy) = (Vec::new(), Vec::new());
        for _ in 0..options.rounds {
            idle.push(decode_speed(options, users)?);
            let stop = Arc::new(AtomicBool::new(false));
            let looping = Arc::clone(&stop);
            let neighbour = std::thread::spawn(move || {
                while !looping.load(Ordering::Relaxed) {
                    std::hint::black_box(0_u64);
                }
            });
            let speed = decode_speed(options, users);
            stop.store(true, Ordering::Relaxed);
            neighbour.join().map_err(|_| "the busy loop panicked")?;
            busy.push(speed?);
        }
        let ratio = median(&busy) / median(&idle);
        println!("busy neighbour, {users} users: {} beside {} alone, ratio {ratio:.2}", spread(&busy), spread(&idle));
        ratios.insert(users.to_string(), json!(ratio));
    }
    Ok(Map::from_iter([("busy_neighbour_ratio".into(), Value::Object(ratios))]))
}

/// Whole answers per time, one at a time over all at once.
pub fn sequential(options: &Options) -> Outcome<Map<String, Value>> {
    let mut ratios = Map::new();
    for users in [8, 32] {
        let (mut together, mut single) = (Vec::new(), Vec::new());
        for _ in 0..options.rounds {
            together.push(whole_speed(options, users, users)?);
            single.push(whole_speed(options, users, 1)?);
        }
        let ratio = median(&together) / median(&single);
        println!("{users} users: {} together, {} one at a time, ratio {ratio:.2}", spread(&together), spread(&single));
        ratios.insert(users.to_string(), json!(ratio));
    }
    Ok(Map::from_iter([("sequential_ratio".into(), Value::Object(ratios))]))
}

/// Tokens per second of the steps in which all users decode and nobody prefills.
fn decode_speed(options: &Options, users: usize) -> Outcome<f64> {
    let (mut rows, mut time, mut decoding) = (0, Duration::ZERO, Duration::ZERO);
    // One newcomer's prompt is finished between two steps that decode: until all are there, the first have said so many words more.
    let answer = ANSWER + u32::try_from(users)?;
    generate(options, users, users, answer, |step, elapsed, active| {
        if step.prefill == 0 && step.rows > 0 && active == users {
            rows += step.rows;
            time += elapsed;
            decoding += step.elapsed;
        }
    })?;
    eprintln!(
        "  {users} users: {:.0} us a token beside the model's {:.0}",
        (time - decoding).as_secs_f64() * 1e6 / rows as f64,
        decoding.as_secs_f64() * 1e6 / rows as f64
    );
    Ok(rows as f64 / time.as_secs_f64())
}

/// Generated tokens per second of everything, prefill included.
fn whole_speed(options: &Options, users: usize, slots: usize) -> Outcome<f64> {
    let took = generate(options, users, slots, ANSWER, |_, _, _| {})?;
    Ok(users as f64 * f64::from(ANSWER) / took.as_secs_f64())
}

fn generate(
    options: &Options,
    users: usize,
    slots: usize,
    answer: u32,
    mut each: impl FnMut(friend_gguf::batcher::Step, Duration, usize),
) -> Outcome<Duration> {
    let slots = u32::try_from(slots)?;
    let config = options.engine(slots, slots.max(8), 512, 16_384);
    let model = llama::load_model(&config.model, config.gpu_layers)?;
    let rows = if slots > 16 { llama::choose(&model, None, &config)?.rows } else { slots as usize };
    let context = llama::open(&model, None, &config)?;
    let prompts = llama::prompts(&context);
    let backend = LlamaBackend::new(context);
    // No answer waits for another here: all prompts first, then only decoding, as the roof does it.
    let inter_token_target = Duration::from_secs(100);
    let settings = Settings {
        slots: slots as usize,
        rows,
        prompts,
        prefixes: 8,
        parallel_rows: llama::parallel_rows(&config),
        inter_token_target,
        host_bytes: 0,
    };
    let mut batcher = Batcher::new(backend, settings);
    let mailbox = Mailbox::new(users + 1);
    // Alone first: an engine tries one thread against all when it starts, which is no part of steady decoding.
    let warm = mailbox.submit(request(users, ANSWER), Instant::now()).map_err(|error| error.to_string())?;
    mailbox.take(false).jobs.into_iter().for_each(|job| batcher.accept(job));
    while !batcher.is_idle() {
        batcher.step(Instant::now());
    }
    warm.done.blocking_recv()??;
    let began = Instant::now();
    let tickets: Vec<Ticket> = (0..users)
        .map(|user| mailbox.submit(request(user, answer), Instant::now()).map_err(|error| error.to_string()))
        .collect::<Result<_, _>>()?;
    mailbox.take(false).jobs.into_iter().for_each(|job| batcher.accept(job));
    while !batcher.is_idle() {
        let active = batcher.status().active;
        let started = Instant::now();
        let step = batcher.step(started);
        each(step, started.elapsed(), active);
    }
    let took = began.elapsed();
    for ticket in tickets {
        ticket.done.blocking_recv()??;
    }
    Ok(took)
}

fn request(user: usize, answer: u32) -> Request {
    let text = format!(" w{user}") + &" the".repeat(PROMPT - 4);
    Request {
        owner: OwnerId(user as u64),
        prompt: Prompt { turns: vec![vec![Piece::plain(text)]], tail: vec![Piece::plain(" so")], ..Prompt::default() },
        sampling: Sampling::default(),
        stop: Stop::default(),
        min_new_tokens: 0,
        max_new_tokens: answer,
        seed: user as u64,
        time_limit: Duration::from_secs(600),
    }
}

/// What llama.cpp itself does at most, in tokens per second.
#[derive(Clone, Copy, Debug)]
pub struct Roof {
    /// Of prompts (`S_PP`).
    pub prefill: f64,
    /// Of answers (`S_TG`).
    pub decode: f64,
}

/// One run of llama-batched-bench.
pub fn batched_bench(bench: &std::path::Path, options: &Options, users: usize) -> Outcome<Roof> {
    let mut command = Command::new(bench);
    command.arg("-m").arg(&options.model).args(["-c", "16384", "-b", "512", "-ub", "512"]);
    if options.kv == KvLayout::Unified {
        command.arg("--kv-unified");
    }
    command.args(["-ctk", options.key_type()]);
    let output = command
        .args(["-ngl", &options.gpu_layers.to_string()])
        .args(["-npp", &PROMPT.to_string(), "-ntg", &ANSWER.to_string(), "-npl", &users.to_string()])
        .args(["-t", &options.threads.to_string()])
        .stderr(Stdio::null())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let cells = text.lines().rev().find_map(|line| {
        let cells: Vec<f64> = line.split('|').filter_map(|cell| cell.trim().parse().ok()).collect();
        (cells.len() == 10).then(|| Roof { prefill: cells[5], decode: cells[7] })
    });
    cells.ok_or_else(|| "llama-batched-bench printed no table".into())
}

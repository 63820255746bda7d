//! A long run: the trace with cancels, evictions and mode switches; whether memory, speed and lanes are at its end as at its beginning.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use friend_gguf::batcher::{Batcher, Settings};
use friend_gguf::llama::{self, LlamaBackend};
use friend_gguf::mailbox::Mailbox;
use friend_gguf::request::{OwnerId, Piece, Prompt, Request, Sampling, Stop, Ticket};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value, json};

use crate::probe::{self, Probe};
use crate::trace::words;
use crate::{Options, median};

const USERS: u64 = 24;
/// Seconds from one look at the machine's own speed to the next.
const PROBE_SECONDS: f64 = 5.0;
const MODES: [&str; 3] = ["You are kind.", "You are glad for people.", "You comfort people."];
/// Turns of a conversation: the older half is dropped when there are more.
const FEWEST: usize = 12;
const MOST: usize = 24;

/// Until nothing of the beginning is left: every turn of every conversation was said in this run, and everybody has been in
/// every mode. Before that conversations grow, since answers are longer than the words they begin with, and so does what is
/// kept of those without a lane: steps become slower and memory fuller, as they would in any run.
#[derive(Default)]
struct WarmUp {
    seen: HashSet<(u64, usize)>,
    renewed: HashMap<u64, usize>,
}

impl WarmUp {
    fn is_over(&self) -> bool {
        let is_new = |user: u64| self.renewed.get(&user).is_some_and(|turns| *turns >= MOST);
        self.seen.len() >= USERS as usize * MODES.len() && (0..USERS).all(is_new)
    }
}

/// Runs for the minutes asked once it is warm, then compares the first tenth with the last.
pub fn run(options: &Options) -> Result<Map<String, Value>, Box<dyn std::error::Error>> {
    let config = options.engine(8, 12, 512, 6_144);
    let model = llama::load_model(&config.model, config.gpu_layers)?;
    let context = llama::open(&model, None, &config)?;
    let mut probe = Probe::new(LlamaBackend::new(llama::open(&model, None, &probe::config(options))?));
    // When it was asked, and its seconds a step.
    let mut machine: Vec<(f64, f64)> = Vec::new();
    let prompts = llama::prompts(&context);
    let backend = LlamaBackend::new(context);
    let settings = Settings {
        slots: 8,
        rows: 8,
        prompts,
        prefixes: 4,
        parallel_rows: llama::parallel_rows(&config),
        inter_token_target: config.inter_token_target,
        host_bytes: llama::host_bytes(&config),
    };
    let mut batcher = Batcher::new(backend, settings);
    let mailbox = Mailbox::new(64);
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut histories: HashMap<u64, Vec<String>> = (0..USERS)
        .map(|user| (user, (0..random.random_range(FEWEST..=MOST)).map(|_| words(&mut random, 4..30)).collect()))
        .collect();
    let mut open: Vec<(u64, Ticket)> = Vec::new();
    let length = Duration::from_secs_f64(options.minutes * 60.0);
    let mut warm_up = WarmUp::default();
    let begun = Instant::now();
    let mut started = None;
    let mut samples: Vec<(f64, f64, f64)> = Vec::new();
    let mut told = 0.0;
    let (mut answers, mut cancels) = (0_u64, 0_u64);
    loop {
        if started.is_none() && warm_up.is_over() {
            started = Some(Instant::now());
            println!("warm after {:.1} minutes: every turn is of this run", begun.elapsed().as_secs_f64() / 60.0);
        }
        if started.is_some_and(|started| started.elapsed() >= length) {
            break;
        }
        let owner = random.random_range(0..USERS);
        if open.len() < 12 && open.iter().all(|(other, _)| *other != owner) {
            let history = histories.entry(owner).or_default();
            history.push(words(&mut random, 4..30));
            let mode = random.random_range(0..MODES.len());
            warm_up.seen.insert((owner, mode));
            open.push((owner, mailbox.submit(request(owner, MODES[mode], history), Instant::now())?));
        }
        if random.random_bool(0.002) && !open.is_empty() {
            open[0].1.cancel.cancel();
            cancels += 1;
        }
        mailbox.take(false).jobs.into_iter().for_each(|job| batcher.accept(job));
        let before = Instant::now();
        let step = batcher.step(before);
        if let Some(started) = started.filter(|_| step.prefill == 0 && step.rows == 8) {
            let now = started.elapsed().as_secs_f64();
            samples.push((now, before.elapsed().as_secs_f64(), resident_megabytes()));
            if machine.last().is_none_or(|last| now - last.0 >= PROBE_SECONDS) {
                machine.push((now, probe.step()?));
            }
            if now - told >= 60.0 {
                told = now;
                println!(
                    "{:.0} min: {answers} answers, {} steps of 8 rows alone, {:.0} MB resident",
                    now / 60.0,
                    samples.len(),
                    resident_megabytes()
                );
            }
        }
        let status = batcher.status();
        mailbox.publish(status, status.queued, batcher.outlook(Instant::now()));
        open.retain_mut(|(owner, ticket)| {
            while ticket.text.try_recv().is_ok() {}
            let Ok(outcome) = ticket.done.try_recv() else { return true };
            if let Ok(answer) = outcome {
                answers += 1;
                let history = histories.entry(*owner).or_default();
                history.push(answer.text);
                *warm_up.renewed.entry(*owner).or_default() += 2;
                if history.len() > MOST {
                    history.drain(..MOST - FEWEST);
                }
            }
            false
        });
        if batcher.status().steps.is_multiple_of(50) {
            batcher.check()?;
        }
    }
    open.iter().for_each(|(_, ticket)| ticket.cancel.cancel());
    while !batcher.is_idle() {
        batcher.step(Instant::now());
    }
    batcher.check()?;
    let furthest = batcher.recompute()?;
    let tenth = length.as_secs_f64() / 10.0;
    let end = samples.last().map_or(0.0, |sample| sample.0);
    let part = |from: f64, to: f64, value: fn(&(f64, f64, f64)) -> f64| {
        let inside = samples.iter().filter(|sample| sample.0 >= from && sample.0 < to);
        median(&inside.map(value).collect::<Vec<_>>())
    };
    let speed = part(0.0, tenth, |sample| sample.1) / part(end - tenth, end, |sample| sample.1);
    let probed = |from: f64, to: f64| {
        let inside = machine.iter().filter(|asked| asked.0 >= from && asked.0 < to);
        median(&inside.map(|asked| asked.1).collect::<Vec<_>>())
    };
    let machine = probed(0.0, tenth) / probed(end - tenth, end);
    let memory = part(end - tenth, end, |sample| sample.2) / part(0.0, tenth, |sample| sample.2);
    let (evictions, restored) = (batcher.status().evictions, batcher.status().restored);
    println!(
        "long run of {:.1} minutes: {answers} answers, {cancels} cancels, {evictions} evictions, {restored} of them brought back; speed in the last tenth {speed:.3} of the first's (the machine's own {machine:.3}, so {:.3} beside it), memory {memory:.3}; every lane equal to its log, whose logits computed anew differ by {furthest:.3} at most",
        options.minutes,
        speed / machine
    );
    let result = json!({
        "minutes": options.minutes, "answers": answers, "cancels": cancels, "evictions": evictions,
        "restored": restored,
        "furthest_logit": furthest, "speed_ratio": speed, "machine_ratio": machine, "memory_ratio": memory,
    });
    Ok(Map::from_iter([("long_run".into(), result)]))
}

fn request(owner: u64, mode: &str, history: &[String]) -> Request {
    Request {
        owner: OwnerId(owner),
        prompt: Prompt {
            prefix: vec![Piece::template(format!("<|im_start|>system\n{mode}<|im_end|>\n"))],
            own: Vec::new(),
            turns: history.iter().map(|turn| vec![Piece::plain(turn), Piece::template("<|im_end|>\n")]).collect(),
            tail: vec![Piece::template("<|im_start|>assistant\n")],
        },
        sampling: Sampling::default(),
        stop: Stop { end_of_generation: true, ..Stop::default() },
        min_new_tokens: 1,
        max_new_tokens: 40,
        seed: owner,
        time_limit: Duration::from_secs(120),
    }
}

fn resident_megabytes() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<f64>().ok()).unwrap_or(f64::NAN) * 4096.0 / 1e6
}

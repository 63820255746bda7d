//! The conversation trace and the stall, ours and llama-server's, over the same client.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use friend_gguf::llama;
use friend_gguf::request::KvLayout;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value, json};

use crate::roof::{Roof, batched_bench};
use crate::shim::Shim;
use crate::trace::{ANSWER, Seen, Side, body, play, words};
use crate::{Options, client, median, percentile, spread};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// KV cells of both sides: a conversation of eight turns has about 600 tokens.
const CELLS: u32 = 49_152;
/// Users at which the roof's bound is computed.
const BOUND_USERS: usize = 32;

/// The stall is one between tokens. Both servers hold back a character that takes several (most emoji do): these are seldom the
/// likeliest, and a gap before one is left out.
const NEARLY_GREEDY: f32 = 0.05;

/// A setting of the peer's KV cache.
#[derive(Clone, Copy)]
struct Layout {
    name: &'static str,
    unified: bool,
    keys: &'static str,
}

/// The peer's settings that are tried: its default, and those that ours can have.
const LAYOUTS: [Layout; 3] = [
    Layout { name: "llama-server, unified KV", unified: true, keys: "f16" },
    Layout { name: "llama-server, split KV", unified: false, keys: "f16" },
    Layout { name: "llama-server, split KV, keys in q8_0", unified: false, keys: "q8_0" },
];

/// The trace by users; the peer's best of its settings.
pub fn run(options: &Options) -> Outcome<Map<String, Value>> {
    let mut by_users = Map::new();
    let mut bound_ratio = Value::Null;
    println!(
        "| users | side | tokens/s | TTFT p50 s | TTFT p99 s | ITL p99 s | prompt tokens |\n|---|---|---|---|---|---|---|"
    );
    for &users in &options.users {
        let Played { ours, peers, roofs } = match rounds(options, users) {
            Ok(played) => played,
            // What the others measured is kept: a cache for so many may be more than the memory holds.
            Err(error) => {
                println!("| {users} | not measured: {error} | | | | | |");
                continue;
            }
        };
        print("ours", users, &ours);
        if !roofs.is_empty() {
            bound_ratio = json!(of_bound(users, &ours, &roofs));
        }
        if peers[0].is_empty() {
            continue;
        }
        for (layout, seen) in LAYOUTS.iter().zip(&peers) {
            print(layout.name, users, seen);
        }
        by_users.insert(users.to_string(), compare(users, &ours, &peers));
    }
    let at_32 = by_users.get("32").cloned().unwrap_or(Value::Null);
    Ok(Map::from_iter([
        ("peer".into(), at_32),
        ("peer_by_users".into(), Value::Object(by_users)),
        ("bound_ratio".into(), bound_ratio),
    ]))
}

/// What the rounds of one number of users saw.
struct Played {
    ours: Vec<Seen>,
    peers: [Vec<Seen>; LAYOUTS.len()],
    roofs: Vec<Roof>,
}

fn rounds(options: &Options, users: usize) -> Outcome<Played> {
    let mut played = Played { ours: Vec::new(), peers: LAYOUTS.map(|_| Vec::new()), roofs: Vec::new() };
    for round in 0..options.rounds {
        if let Some(bench) = options.batched_bench.as_ref().filter(|_| users == BOUND_USERS) {
            played.roofs.push(batched_bench(bench, options, users)?);
        }
        let serving = our_side(options, users)?;
        played.ours.push(play(serving.address, Side::Ours, users, round as u64 + 1)?);
        drop(serving);
        if let Some(server) = &options.server {
            for (layout, seen) in LAYOUTS.into_iter().zip(&mut played.peers) {
                let running = Server::start(server, options, users, layout)?;
                seen.push(play(running.address, Side::Peer, users, round as u64 + 1)?);
            }
        }
    }
    Ok(played)
}

/// Our tokens per second over what the roof would allow this trace: our prompt tokens at its prefill speed, then the
/// answers at its decoding speed, with nothing in between.
fn of_bound(users: usize, ours: &[Seen], roofs: &[Roof]) -> f64 {
    let middle = |values: Vec<f64>| median(&values);
    let prefill = middle(roofs.iter().map(|roof| roof.prefill).collect());
    let decode = middle(roofs.iter().map(|roof| roof.decode).collect());
    let tokens = middle(ours.iter().map(|seen| seen.answers as f64).collect()) * f64::from(ANSWER);
    let prompts = middle(ours.iter().map(|seen| seen.prompt_tokens).collect());
    let bound = tokens / (tokens / decode + prompts / prefill);
    let ratio = middle(ours.iter().map(|seen| seen.tokens).collect()) / bound;
    println!(
        "bound at {users} users: {bound:.1} tokens/s (prefill {prefill:.0}, decode {decode:.0}); ours is {ratio:.2} of it"
    );
    ratio
}

/// Each ours ÷ the better of the peer's settings.
fn compare(users: usize, ours: &[Seen], peers: &[Vec<Seen>]) -> Value {
    let middle = |seen: &[Seen], value: fn(&Seen) -> f64| median(&seen.iter().map(value).collect::<Vec<_>>());
    let least = |value: fn(&Seen) -> f64| peers.iter().map(|peer| middle(peer, value)).fold(f64::INFINITY, f64::min);
    let most = |value: fn(&Seen) -> f64| peers.iter().map(|peer| middle(peer, value)).fold(0.0, f64::max);
    json!({
        "users": users,
        "tokens_ratio": middle(ours, |seen| seen.tokens) / most(|seen| seen.tokens),
        "ttft_p50_ratio": middle(ours, |seen| seen.ttft_p50) / least(|seen| seen.ttft_p50),
        "ttft_p99_ratio": middle(ours, |seen| seen.ttft_p99) / least(|seen| seen.ttft_p99),
        "itl_p99_ratio": middle(ours, |seen| seen.itl_p99) / least(|seen| seen.itl_p99),
        "prompt_tokens_ratio": middle(ours, |seen| seen.prompt_tokens) / least(|seen| seen.prompt_tokens),
        "tokens_per_second": middle(ours, |seen| seen.tokens),
        "peer_tokens_per_second": most(|seen| seen.tokens),
        "ttft_p50_s": middle(ours, |seen| seen.ttft_p50),
        "peer_ttft_p50_s": least(|seen| seen.ttft_p50),
    })
}

fn print(side: &str, users: usize, seen: &[Seen]) {
    let all = |value: fn(&Seen) -> f64| seen.iter().map(value).collect::<Vec<_>>();
    println!(
        "| {users} | {side} | {} | {:.2} | {:.2} | {:.3} | {:.0} |",
        spread(&all(|seen| seen.tokens)),
        median(&all(|seen| seen.ttft_p50)),
        median(&all(|seen| seen.ttft_p99)),
        median(&all(|seen| seen.itl_p99)),
        median(&all(|seen| seen.prompt_tokens)),
    );
}

/// The worst gap of eight who decode while 1,500 tokens of history arrive, in median gaps.
pub fn stall(options: &Options) -> Outcome<Map<String, Value>> {
    let mut result = Map::new();
    let mut ours = Vec::new();
    let mut peers = Vec::new();
    for _ in 0..options.rounds {
        let serving = our_side(options, 16)?;
        ours.push(worst_gap(serving.address, Side::Ours)?);
        drop(serving);
        if let Some(server) = &options.server {
            let running = Server::start(server, options, 16, LAYOUTS[0])?;
            peers.push(worst_gap(running.address, Side::Peer)?);
        }
    }
    println!("stall, in median steps: ours {}, llama-server {}", spread(&ours), spread(&peers));
    result.insert("ours".into(), json!(median(&ours)));
    if !peers.is_empty() {
        result.insert("peer".into(), json!(median(&peers)));
    }
    Ok(Map::from_iter([("stall_steps".into(), Value::Object(result))]))
}

/// Tokens that each of the eight has said when the newcomer arrives.
const BEFORE_NEWCOMER: usize = 60;
/// And all that each says: more than fit between the newcomer's pieces, so that all eight still decode at his first token. The fewer
/// there are, the larger his pieces.
const ALL_SAID: u32 = 400;

fn worst_gap(address: SocketAddr, side: Side) -> Outcome<f64> {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let said: [Arc<AtomicUsize>; 8] = Default::default();
    let talking: Vec<_> = (0..)
        .zip(&said)
        .map(|(user, said)| {
            // A story is long enough: where an answer wants to end and may not, special tokens come, which have no text to be told by.
            let turns = [("user", format!("Write a very long story. It begins: {}", words(&mut random, 8..12)))];
            let mut body = body(side, user, "Talk.", &turns, ALL_SAID);
            body["temperature"] = json!(NEARLY_GREEDY);
            let said = said.clone();
            std::thread::spawn(move || {
                client::complete_telling(address, &body, |pieces| said.store(pieces, Ordering::Relaxed))
            })
        })
        .collect();
    // By tokens and not by seconds: a fast machine's eight would have ended.
    while said.iter().any(|said| said.load(Ordering::Relaxed) < BEFORE_NEWCOMER) {
        if talking.iter().any(std::thread::JoinHandle::is_finished) {
            return Err("one of the eight ended before the newcomer came".into());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let history = words(&mut random, 1450..1451);
    let arrived = Instant::now();
    let late = client::complete(address, &body(side, 99, "Talk.", &[("user", history)], 8))
        .map_err(|error| error.to_string())?;
    let served = late.times.first().copied().unwrap_or(arrived);
    let mut before = Vec::new();
    let mut worst = 0.0_f64;
    for thread in talking {
        let answer = thread.join().map_err(|_| "a user panicked")?.map_err(|error| error.to_string())?;
        if answer.times.last().is_some_and(|last| *last < served) {
            return Err("one of the eight had ended before the newcomer was served".into());
        }
        for (pair, several) in answer.times.windows(2).zip(&answer.several[1..]) {
            if *several {
                continue;
            }
            let gap = (pair[1] - pair[0]).as_secs_f64();
            if pair[1] < arrived {
                before.push(gap);
            } else if pair[0] < served {
                worst = worst.max(gap);
            }
        }
    }
    println!(
        "  worst gap {worst:.3} s, median step {:.3} s, p99 before {:.3} s, the newcomer's first token after {:.1} s",
        median(&before),
        percentile(&before, 0.99),
        late.first
    );
    Ok(worst / median(&before))
}

fn our_side(options: &Options, users: usize) -> Outcome<Shim> {
    let slots = u32::try_from(users)?;
    let lanes = if options.kv == KvLayout::Split { slots.max(8) } else { (slots * 2).clamp(8, 200) };
    let config = options.engine(slots, lanes, 2048, CELLS);
    Ok(Shim::start(llama::start(config)?)?)
}

/// A llama-server that ends with its value.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start(binary: &Path, options: &Options, users: usize, layout: Layout) -> Outcome<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let threads = options.threads.to_string();
        // Split streams share the context out evenly, so they need it whole for each user.
        let cells = if layout.unified { CELLS } else { CELLS.max(2048 * u32::try_from(users)?) };
        let child = Command::new(binary)
            .arg("-m")
            .arg(&options.model)
            .args(["--host", "127.0.0.1", "--port", &port.to_string(), "-c", &cells.to_string()])
            .args(["-np", &users.to_string(), "-t", &threads, "-tb", &threads, "-b", "512", "-ub", "512", "--no-webui"])
            .args(["-ngl", &options.gpu_layers.to_string()])
            .args(["-ctk", layout.keys])
            .arg(if layout.unified { "--kv-unified" } else { "--no-kv-unified" })
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let server = Self { child, address };
        let mut why = String::from("nothing listens");
        for _ in 0..150 {
            std::thread::sleep(Duration::from_millis(200));
            if TcpStream::connect(address).is_ok() {
                match client::complete(address, &body(Side::Peer, 0, "Hi.", &[], 1)) {
                    Ok(_) => return Ok(server),
                    Err(error) => why = error.to_string(),
                }
            }
        }
        Err(format!("llama-server does not answer: {why}").into())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It is ours, and holds nothing worth saving.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

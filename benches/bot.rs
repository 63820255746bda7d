//! The whole bot under load: the real models, HTTP to the emulator, 1, 8 and 32 simulated users.
//!
//! Settings are the program's own (file, environment: `MODEL=… cargo bench --bench bot`). `BENCH_USERS=4` and
//! `BENCH_TURNS=2` ask for other sizes. Telegram's flood limits, the outbox's pace that keeps to them, and the wait for bursts
//! are switched off: what is measured is the bot.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use ai_friend::app::{self, Mind};
use ai_friend::commands::load::scenario;
use ai_friend::config::{self, Config, Secret, Sources};
use anyhow::{Context as _, Result, ensure};
use friend_actors::house::Windows;
use friend_actors::ports::Messenger;
use friend_sim::bot_api::{self, BotApi, DEFAULT_TOKEN};
use friend_sim::report::Report;
use friend_sim::scenario::Scenario;
use tokio_util::sync::CancellationToken;

fn main() -> Result<()> {
    friend_gguf::llama::reexec_with_quiet_libraries();
    let sources = Sources { file: None, env: std::env::vars_os().collect(), flags: Vec::new() };
    let mut config = config::load(&sources)?.config;
    config.conversation.burst_quiet_ms = 0;
    let users = sizes("BENCH_USERS", &[1, 8, 32])?;
    let turns = sizes("BENCH_TURNS", &[4])?[0];
    actix::System::new().block_on(bench(&config, &users, turns))
}

async fn bench(config: &Config, users: &[usize], turns: usize) -> Result<()> {
    let begun = Instant::now();
    let mind = Mind::load(config)?;
    println!(
        "{}: loaded in {:.1} s, {} MiB resident",
        mind.engine.model().name,
        begun.elapsed().as_secs_f64(),
        resident_mib().unwrap_or_default()
    );

    let server = BotApi::start(bot_api::Config::for_load()).await?;
    let telegram: Arc<dyn Messenger> = Arc::new(app::telegram_with(config, server.url(), Secret::new(DEFAULT_TOKEN))?);
    let folder = tempfile::tempdir()?;
    let store = app::store(folder.path(), config)?;
    let (windows, stop) = (Windows::default(), CancellationToken::new());
    let parts = mind.parts(telegram.me().await?.id, telegram, store, config);
    let mut house = app::house_config(config);
    house.outbox.paced = false;
    let house = actix::spawn(app::serve(parts, house, windows.clone(), stop.clone()));

    // The first turn prefills the personas' prefixes, which every later one shares.
    let warm = Scenario { users: 1, turns: 2, first_user: 900_000, ..scenario(&mind.persona) };
    ensure!(warm.run(&server.control()).await.is_complete(), "the bot did not answer the warm-up");
    println!("{}  tokens/s", Report::heading());
    for (round, &users) in users.iter().enumerate() {
        let before = windows.observer.counters().new_tokens.load(Relaxed);
        let first_user = 1_000_000 * (1 + round as i64);
        let patience = Duration::from_secs(600);
        let played = Scenario { users, turns, first_user, patience, ..scenario(&mind.persona) };
        let report = played.run(&server.control()).await;
        let tokens = windows.observer.counters().new_tokens.load(Relaxed) - before;
        println!("{report}  {:8.1}", tokens as f64 / report.elapsed.max(1e-9));
        ensure!(report.is_complete(), "{} messages were not answered", report.messages - report.replies);
    }
    let status = mind.engine.status();
    println!(
        "prompt tokens computed {}, found in the KV cache {}; {} MiB resident",
        status.prompt_tokens,
        status.reused_tokens,
        resident_mib().unwrap_or_default()
    );
    stop.cancel();
    house.await??;
    server.shutdown().await;
    Ok(())
}

fn sizes(name: &str, otherwise: &[usize]) -> Result<Vec<usize>> {
    let Ok(text) = std::env::var(name) else { return Ok(otherwise.to_vec()) };
    let sizes: Result<Vec<usize>, _> = text.split(',').map(|size| size.trim().parse()).collect();
    let sizes = sizes.with_context(|| format!("{name} must be numbers, such as 1,8,32"))?;
    ensure!(!sizes.is_empty() && sizes.iter().all(|size| (1..=10_000).contains(size)), "{name} must be 1 to 10000");
    Ok(sizes)
}

/// Memory that the process holds now, from proc(5).
fn resident_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib / 1024)
}

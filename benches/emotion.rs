//! The emotion scorer on one thread: messages a second and milliseconds a message in batches of 1, 16 and 64, beside
//! Python's onnxruntime in the same run. `cargo bench --bench emotion`, or `make bench`.
//!
//! Both score the same 512 messages of chat length in turns of 64, the first of a turn changing each time, so that a
//! processor that slows down slows both; medians of five rounds over all of them. Python, with its default options, runs
//! only where `python3` has onnxruntime, tokenizers and numpy (EMOTION_PYTHON names another).

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Instant,
};

use ai_friend::adapters::onnx::{Classifier, LIBRARY, OnnxConfig};

const MESSAGES: usize = 512;
const TURN: usize = 64;
const ROUNDS: usize = 5;
const BATCHES: [usize; 3] = [1, 16, 64];

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let models = std::env::var_os("AI_FRIEND_MODELS").unwrap_or_else(|| "models/cache".into());
    let config = OnnxConfig {
        model_dir: root.join("models/emotion"),
        library: root.join(models).join(LIBRARY),
        label_map: BTreeMap::new(),
        max_length_tokens: 128,
        queue: 1,
    };
    let mut ours = Classifier::load(&config).unwrap_or_else(|error| panic!("{error}"));
    let messages = messages(root);
    let mut python = Python::start(root, &messages);

    println!(
        "{:>5}  {:>12} {:>10}  {:>12} {:>10}  {:>6}",
        "batch", "ours msg/s", "ms/msg", "python msg/s", "ms/msg", "ratio"
    );
    for batch in BATCHES {
        let (mut mine, mut theirs) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            let (mut here, mut there) = (0.0, None);
            for (turn, part) in messages.chunks(TURN).enumerate() {
                let ours_first = (round + turn) % 2 == 0;
                if ours_first {
                    here += seconds(&mut ours, part, batch);
                }
                if let Some(python) = &mut python {
                    *there.get_or_insert(0.0) += python.turn(turn * TURN, batch);
                }
                if !ours_first {
                    here += seconds(&mut ours, part, batch);
                }
            }
            mine.push(here);
            theirs.extend(there);
        }
        let mine = MESSAGES as f64 / median(mine);
        print!("{batch:>5}  {mine:>12.0} {:>10.3}", 1000.0 / mine);
        if theirs.is_empty() {
            println!("  {:>12} {:>10}  {:>6}", "-", "-", "-");
        } else {
            let theirs = MESSAGES as f64 / median(theirs);
            println!("  {theirs:>12.0} {:>10.3}  {:>6.2}", 1000.0 / theirs, mine / theirs);
        }
    }
    if python.is_none() {
        println!(
            "Python's column is empty: python3 has no onnxruntime, tokenizers and numpy (EMOTION_PYTHON names another)"
        );
    }
}

/// Seconds for these messages in batches of this size.
fn seconds(ours: &mut Classifier, messages: &[String], batch: usize) -> f64 {
    let start = Instant::now();
    for part in messages.chunks(batch) {
        ours.score(part).expect("scores");
    }
    start.elapsed().as_secs_f64()
}

/// Messages of 2 to 40 words out of the words of the tokenizer's own fixture of chat text: seeded, the same every time.
fn messages(root: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(root.join("models/emotion/behaviour.jsonl")).expect("the behavioural set");
    let cases: Vec<String> = text
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok()?["text"].as_str().map(str::to_owned))
        .collect();
    let mut seed = 11_u64;
    let mut next = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    };
    let message = |_| {
        let sentences = [1, 1, 1, 2, 2, 4][next(6)];
        (0..sentences).map(|_| cases[next(cases.len())].as_str()).collect::<Vec<_>>().join(" ")
    };
    (0..MESSAGES).map(message).collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Python's onnxruntime in a process of its own, which takes turns when told.
struct Python {
    process: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Python {
    fn start(root: &Path, messages: &[String]) -> Option<Self> {
        let python = std::env::var_os("EMOTION_PYTHON").map_or_else(|| PathBuf::from("python3"), PathBuf::from);
        let mut command = Command::new(python);
        command.arg(root.join("benches/emotion.py")).arg(root.join("models/emotion"));
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
        let (mut orders, answers) = (process.stdin.take()?, BufReader::new(process.stdout.take()?));
        writeln!(orders, "{}", serde_json::to_string(messages).ok()?).ok()?;
        let mut python = Self { process, orders, answers };
        (python.line()? == "ready").then_some(python)
    }

    /// Seconds for the turn that begins with this message, in batches of this size.
    fn turn(&mut self, first: usize, batch: usize) -> f64 {
        writeln!(self.orders, "{first} {} {batch}", first + TURN).expect("Python listens");
        self.line().and_then(|line| line.parse().ok()).expect("Python answers")
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        self.answers.read_line(&mut line).ok()?;
        Some(line.trim().to_owned())
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

//! The engine behind the same wire as llama-server, for the benchmark alone: one thread a connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use friend_gguf::request::{Engine, OwnerId, Piece, Prompt, Request, Sampling, Stop};
use friend_gguf::thread::EngineHandle;
use serde_json::{Value, json};

/// Longest request, in bytes.
const MOST_BYTES: usize = 1 << 20;

/// An engine that is served until this value is dropped. Then it ends: a second engine's threads in the process would make
/// OpenMP's threads spin for less.
pub struct Shim {
    /// Where it listens.
    pub address: SocketAddr,
    ended: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Shim {
    /// Serves on a free port.
    pub fn start(engine: EngineHandle) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let ended = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&ended);
        let engine = Arc::new(engine);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if end.load(Ordering::Relaxed) {
                    return;
                }
                let engine = Arc::clone(&engine);
                std::thread::spawn(move || {
                    if let Err(error) = answer(&engine, stream) {
                        eprintln!("shim: {error}");
                    }
                });
            }
        });
        Ok(Self { address, ended, thread: Some(thread) })
    }
}

impl Drop for Shim {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // Wakes the thread, which lets go of the engine.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn answer(engine: &EngineHandle, mut stream: TcpStream) -> Result<(), Box<dyn std::error::Error>> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse()?;
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; usize::min(length, MOST_BYTES)];
    reader.read_exact(&mut body)?;
    let body: Value = serde_json::from_slice(&body)?;
    let mut ticket = engine.submit(request(&body))?;
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")?;
    while let Some(piece) = ticket.text.blocking_recv() {
        write!(stream, "data: {}\n\n", json!({ "content": piece, "stop": false }))?;
    }
    let usage = ticket.done.blocking_recv()??.usage;
    let computed = usage.prompt_tokens - usage.reused_tokens;
    write!(stream, "data: {}\n\n", json!({ "content": "", "stop": true, "timings": { "prompt_n": computed } }))?;
    Ok(())
}

fn request(body: &Value) -> Request {
    let piece = |piece: &Value| Piece {
        text: piece[1].as_str().unwrap_or_default().to_owned(),
        special: piece[0].as_bool().unwrap_or_default(),
    };
    let pieces = |value: &Value| value.as_array().into_iter().flatten().map(piece).collect::<Vec<_>>();
    // Lengths are locked on both sides: what would end the answer is never drawn (`ignore_eos` at the peer's).
    let tokens = u32::try_from(body["n_predict"].as_u64().unwrap_or(1)).unwrap_or(1);
    let default = Sampling::default();
    let temperature = body["temperature"].as_f64().map_or(default.temperature, |temperature| temperature as f32);
    let sampling = Sampling { temperature, ..default };
    Request {
        owner: OwnerId(body["owner"].as_u64().unwrap_or_default()),
        prompt: Prompt {
            prefix: pieces(&body["prefix"]),
            own: Vec::new(),
            turns: body["turns"].as_array().into_iter().flatten().map(pieces).collect(),
            tail: pieces(&body["tail"]),
        },
        sampling,
        stop: Stop { end_of_generation: true, ..Stop::default() },
        min_new_tokens: tokens,
        max_new_tokens: tokens,
        seed: body["seed"].as_u64().unwrap_or_default(),
        time_limit: Duration::from_secs(600),
    }
}

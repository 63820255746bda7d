//! The engine behind the same wire as llama-server, for the benchmark alone: one thread a connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use friend_gguf::request::{Engine, OwnerId, Piece, Prompt, Request, Sampling, Stop};
use friend_gguf::thread::EngineHandle;
use serde_json::{Value, json};

/// Longest request, in bytes.
const MOST_BYTES: usize = 1 << 20;

/// Serves until the process ends.
pub fn serve(engine: Arc<EngineHandle>) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let engine = Arc::clone(&engine);
            std::thread::spawn(move || {
                if let Err(error) = answer(&engine, stream) {
                    eprintln!("shim: {error}");
                }
            });
        }
    });
    Ok(address)
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
    Request {
        owner: OwnerId(body["owner"].as_u64().unwrap_or_default()),
        prompt: Prompt {
            prefix: pieces(&body["prefix"]),
            turns: body["turns"].as_array().into_iter().flatten().map(pieces).collect(),
            tail: pieces(&body["tail"]),
        },
        sampling: Sampling::default(),
        stop: Stop::default(),
        min_new_tokens: 0,
        max_new_tokens: u32::try_from(body["n_predict"].as_u64().unwrap_or(1)).unwrap_or(1),
        seed: body["seed"].as_u64().unwrap_or_default(),
        time_limit: Duration::from_secs(600),
    }
}

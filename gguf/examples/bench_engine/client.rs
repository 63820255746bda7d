//! One HTTP client for both sides: posts JSON, reads a stream of `data:` lines, notes when each came.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;

/// What one answer was like from outside.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// The text.
    pub text: String,
    /// Seconds from the request to the first piece.
    pub first: f64,
    /// Seconds between pieces.
    pub gaps: Vec<f64>,
    /// Prompt tokens computed for it.
    pub prompt_tokens: f64,
    /// When each piece came.
    pub times: Vec<Instant>,
    /// Whether it may have taken several tokens: both sides hold back a character until it is whole.
    pub several: Vec<bool>,
}

/// Posts `body` to `/completion` and reads the stream to its end.
pub fn complete(address: SocketAddr, body: &Value) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
    complete_telling(address, body, |_| ())
}

/// As [`complete`]; `pieces` hears after each piece how many came.
pub fn complete_telling(
    address: SocketAddr,
    body: &Value,
    pieces: impl Fn(usize),
) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(600)))?;
    let body = body.to_string();
    let started = Instant::now();
    write!(
        stream,
        "POST /completion HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = Answer::default();
    let mut last = started;
    for line in BufReader::new(stream).lines() {
        let line = line?;
        if line.starts_with("{\"error\"") {
            return Err(line.into());
        }
        let Some(data) = line.strip_prefix("data: ") else { continue };
        let Ok(data) = serde_json::from_str::<Value>(data) else { continue };
        let now = Instant::now();
        let text = data["content"].as_str().unwrap_or_default();
        if data["stop"] == true {
            answer.prompt_tokens = data["timings"]["prompt_n"].as_f64().unwrap_or(f64::NAN);
        } else {
            if answer.times.is_empty() {
                answer.first = (now - started).as_secs_f64();
            } else {
                answer.gaps.push((now - last).as_secs_f64());
            }
            answer.times.push(now);
            answer.several.push(!text.is_ascii());
            pieces(answer.times.len());
            last = now;
        }
        answer.text.push_str(text);
    }
    if answer.times.is_empty() {
        return Err("the server streamed nothing".into());
    }
    Ok(answer)
}

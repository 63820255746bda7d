//! The program itself where it waits for others: it says so, and ends when it is asked to.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ai_friend::config::Config;
use ai_friend::models::library::Library;

const PATIENCE: Duration = Duration::from_secs(60);

/// The program with a models' folder in `folder` and a hub at `hub`; dropping it kills it.
struct Program(Child);

impl Program {
    fn start(arguments: &[&str], folder: &Path, hub: &str) -> Self {
        let settings = folder.join("ai-friend.toml");
        fs::write(&settings, "").unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_ai-friend"));
        command.args(arguments).env("AI_FRIEND_CONFIG", settings).env("AI_FRIEND_MODELS", folder.join("models"));
        command.env("HF_ENDPOINT", hub).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(command.spawn().unwrap())
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.0.id())]).status().unwrap();
        assert!(sent.success());
    }

    /// The exit code, if it ends by itself in time.
    fn code(&mut self) -> Option<i32> {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.0.try_wait().unwrap() {
                Some(status) => return status.code(),
                None => assert!(Instant::now() < end, "it goes on as if nobody had asked"),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The first connection, if it comes in time.
fn accepted(hub: &TcpListener) -> TcpStream {
    hub.set_nonblocking(true).unwrap();
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        match hub.accept() {
            Ok((connection, _)) => return connection,
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
    panic!("nobody asks the hub");
}

#[test]
fn a_download_ends_with_130_when_it_is_asked_to() {
    for signal in ["INT", "TERM"] {
        let folder = tempfile::tempdir().unwrap();
        // A hub that takes the connection and never says a word.
        let hub = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", hub.local_addr().unwrap());
        let mut program = Program::start(&["models", "pull", "dolly-v2-3b"], folder.path(), &url);
        let _connection = accepted(&hub);
        program.signal(signal);
        assert_eq!(program.code(), Some(130), "and not by the signal itself: {signal}");
    }
}

#[test]
fn whoever_waits_for_another_process_says_so_and_goes_on_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    config.models.dir = folder.path().join("models");
    let lock = Library::open(&config.models).unwrap().lock().unwrap();
    let mut program = Program::start(&["models", "remove", "dolly-v2-3b"], folder.path(), "http://127.0.0.1:9");
    let mut told = String::new();
    BufReader::new(program.0.stderr.take().unwrap()).read_line(&mut told).unwrap();
    let dir = config.models.dir.display();
    assert_eq!(told.trim_end(), format!("waiting for another process that prepares models in {dir}"));
    drop(lock);
    assert_eq!(program.code(), Some(0));
}

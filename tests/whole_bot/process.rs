//! The program itself: killed in the middle of an answer and started again, nothing is lost, nothing is said twice, and its
//! log holds no word of anybody; asked to end, it ends, whatever it waits for.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use friend_sim::bot_api::{self, BotApi, DEFAULT_TOKEN, Event, Limits, User};
use futures_util::future::join_all;

use crate::running::{self, PATIENCE};

/// A word that stands in every message and in no log.
const SECRET_WORD: &str = "zugzwang";

/// The service in a process of its own; dropping it kills it, as `kill -9` does.
struct Service {
    child: Child,
}

impl Service {
    fn start(api: &str, folder: &Path, log: &Path) -> Self {
        Self { child: command(api, folder, log).spawn().unwrap() }
    }

    /// Asks it to end, as `docker stop` and systemd do, and waits until it has.
    async fn terminate(&mut self, patience: Duration) -> Option<ExitStatus> {
        let asked = Command::new("sh").args(["-c", &format!("kill -TERM {}", self.child.id())]).status().unwrap();
        assert!(asked.success());
        let end = Instant::now() + patience;
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait().unwrap() {
                return Some(status);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        None
    }
}

fn command(api: &str, folder: &Path, log: &Path) -> Command {
    let log = File::options().create(true).append(true).open(log).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ai-friend"));
    command
        .arg("run")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("TG_BOT_TOKEN", DEFAULT_TOKEN)
        .env("TG_API_URL", api)
        .env("AI_FRIEND_DATA", folder.join("data"))
        .env("AI_FRIEND_CONFIG", folder.join("ai-friend.toml"))
        .stdout(Stdio::null())
        .stderr(log);
    command
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn killed_in_the_middle_of_an_answer_it_loses_nothing_and_says_nothing_twice() {
    let settings = bot_api::Config { limits: Limits::off(), ..bot_api::Config::default() };
    let server = BotApi::start(settings).await.unwrap();
    let control = server.control();
    let folder = tempfile::tempdir().unwrap();
    let log: PathBuf = folder.path().join("log");
    // Previews as often as can be, so that "in the middle" is seen; answers at least as long as two of them.
    let toml = "[telegram]\npreview_interval_ms = 200\npoll_timeout_s = 2\n[conversation]\nburst_quiet_ms = 50\n";
    fs::write(folder.path().join("ai-friend.toml"), toml).unwrap();
    let people: Vec<User> = (1..=4).map(|person| control.user(person, "Chloe")).collect();

    let service = Service::start(&server.url(), folder.path(), &log);
    let say = |user: &User, what: &str| user.say(&format!("{what}, said the {SECRET_WORD}")).seq;
    for user in &people {
        let said = say(user, "hello");
        user.next_message(said, PATIENCE).await.unwrap();
    }
    let mark = control.mark();
    for user in &people {
        say(user, "please tell me a long story about the sea and a ship and its captain");
    }
    control
        .wait_for(mark, PATIENCE, |entry| matches!(&entry.event, Event::SawDraft { text, .. } if !text.is_empty()))
        .await
        .expect("an answer begins to be seen");
    drop(service);
    // Written while nobody listens.
    let late = say(&people[0], "are you there");

    let service = Service::start(&server.url(), folder.path(), &log);
    let answered = people.iter().map(|user| {
        let since = if user.id() == people[0].id() { late } else { mark };
        user.next_message(since, PATIENCE)
    });
    for answer in join_all(answered).await {
        assert!(!answer.unwrap().0.trim().is_empty());
    }
    // Whatever would be said twice is said before the answer to another question.
    let again = control.mark();
    for user in &people {
        let said = say(user, "good night");
        user.next_message(said, PATIENCE).await.unwrap();
    }
    let answers = |user: &User, from: u64, to: u64| {
        let seen = |entry: &&std::sync::Arc<bot_api::Entry>| {
            entry.seq <= to && matches!(entry.event, Event::SawMessage { .. })
        };
        user.ledger(from).iter().filter(seen).count()
    };
    // The story's answer, and for the first person one more at most: what came while it was down may be one turn with it.
    for (index, user) in people.iter().enumerate() {
        let seen = answers(user, mark, again);
        let most = if index == 0 { 2 } else { 1 };
        assert!((1..=most).contains(&seen), "person {index} saw {seen} answers");
        assert_eq!(answers(user, again, u64::MAX), 1);
    }
    drop(service);
    server.shutdown().await;

    let log = fs::read_to_string(&log).unwrap();
    assert!(log.contains("serving"), "the log is there: {log}");
    let token = DEFAULT_TOKEN.split_once(':').unwrap().1;
    let said: Vec<String> = people.iter().flat_map(User::received).collect();
    for line in log.lines() {
        assert!(!line.contains(token) && !line.contains(SECRET_WORD), "{line}");
        assert!(!said.iter().any(|answer| line.contains(answer.as_str())), "{line}");
    }
}

/// A port that nobody listens on, as far as one can know.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn got(port: u16, path: &str) -> String {
    let mut connection = TcpStream::connect(("127.0.0.1", port)).unwrap();
    connection.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: health\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    answer
}

#[tokio::test]
async fn while_it_fetches_a_model_it_tells_its_health_and_ends_when_asked_to() {
    let server = BotApi::start(bot_api::Config::default()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    fs::write(folder.path().join("ai-friend.toml"), "").unwrap();
    // A hub that takes the connection and never says a word.
    let hub = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = free_port();
    let child = command(&server.url(), folder.path(), &log)
        .env("MODEL", "dolly-v2-3b")
        .env("HF_ENDPOINT", format!("http://{}", hub.local_addr().unwrap()))
        .env("AI_FRIEND_MODELS", folder.path().join("models"))
        .env("AI_FRIEND_WEB_LISTEN", format!("127.0.0.1:{port}"))
        .env("ORT_DYLIB_PATH", running::config().emotion.onnxruntime.unwrap())
        .spawn()
        .unwrap();
    let mut service = Service { child };
    let told = || fs::read_to_string(&log).unwrap_or_default();
    let asked = tokio::time::timeout(PATIENCE, hub.accept()).await;
    let (_connection, _) = asked.unwrap_or_else(|_| panic!("it asks no hub: {}", told())).unwrap();

    let answer = tokio::task::spawn_blocking(move || got(port, "/health")).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"loading\":true"), "{answer}");

    let status = service.terminate(Duration::from_secs(10)).await;
    let status = status.unwrap_or_else(|| panic!("it goes on as if nobody had asked: {}", told()));
    assert!(status.success(), "{status}: {}", told());
    assert!(told().contains("stopped before it served anybody"), "{}", told());
    server.shutdown().await;
}

#[tokio::test]
async fn a_bot_api_that_is_out_of_reach_from_the_start_is_seen_in_its_health() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    fs::write(folder.path().join("ai-friend.toml"), "").unwrap();
    let (nobody, port) = (free_port(), free_port());
    let child = command(&format!("http://127.0.0.1:{nobody}"), folder.path(), &log)
        .env("AI_FRIEND_MODELS", running::config().models.dir)
        .env("AI_FRIEND_WEB_LISTEN", format!("127.0.0.1:{port}"))
        .spawn()
        .unwrap();
    let mut service = Service { child };
    let told = || fs::read_to_string(&log).unwrap_or_default();
    let end = Instant::now() + PATIENCE;
    while !told().contains("the Bot API does not answer") {
        assert!(Instant::now() < end, "{}", told());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // It is counted right after it is told.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let [health, metrics] = ["/health", "/metrics"].map(|path| tokio::task::spawn_blocking(move || got(port, path)));
    let (health, metrics) = (health.await.unwrap(), metrics.await.unwrap());
    assert!(!health.contains("\"failed_polls_in_a_row\":0"), "{health}");
    assert!(!metrics.contains("ai_friend_poller_failures_total 0"), "{metrics}");
    assert!(metrics.contains("ai_friend_outbox_retried_total 0"), "{metrics}");
    assert!(service.terminate(Duration::from_secs(10)).await.is_some_and(|status| status.success()), "{}", told());
}

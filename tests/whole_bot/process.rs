//! The program itself, killed in the middle of an answer and started again: nothing is lost, nothing is said twice, and its
//! log holds no word of anybody.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use friend_sim::bot_api::{self, BotApi, DEFAULT_TOKEN, Event, Limits, User};
use futures_util::future::join_all;

use crate::running::PATIENCE;

/// A word that stands in every message and in no log.
const SECRET_WORD: &str = "zugzwang";

/// The service in a process of its own; dropping it kills it, as `kill -9` does.
struct Service {
    child: Child,
}

impl Service {
    fn start(api: &str, folder: &Path, log: &Path) -> Self {
        let log = File::options().create(true).append(true).open(log).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_ai-friend"))
            .arg("run")
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("TG_BOT_TOKEN", DEFAULT_TOKEN)
            .env("TG_API_URL", api)
            .env("AI_FRIEND_DATA", folder.join("data"))
            .env("AI_FRIEND_CONFIG", folder.join("ai-friend.toml"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { child }
    }
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

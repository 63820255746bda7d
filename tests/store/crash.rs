//! `kill -9` in the middle of writing: this test runs itself again as a child that writes, and kills it.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use ai_friend::adapters::sqlite::SqliteStore;
use friend_actors::fakes::contract::{message, outgoing, turn};
use friend_actors::ports::{Change, OutState, Store};
use friend_actors::types::{ChatId, Role};

use super::{BOT, open};

/// Names the folder for the child; without it the child's test does nothing.
const FOLDER: &str = "AI_FRIEND_TEST_CRASH_FOLDER";
const CHATS: i64 = 4;

/// Not a test of its own: what the child of the test below does until it is killed. Every line that it prints is a
/// promise that the parent holds the store to.
#[tokio::test]
async fn child_that_writes_until_it_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let store = open(Path::new(&folder));
    let chats = (1..=CHATS).map(|chat| write_for_ever(&store, ChatId(chat)));
    futures_util::future::join_all(chats).await;
}

async fn write_for_ever(store: &SqliteStore, chat: ChatId) {
    let epoch = store.claim(BOT, chat, 0).await.expect("a claim").epoch;
    let known = store.claim(BOT, chat, usize::MAX).await.expect("a claim");
    assert!(known.epoch > epoch);
    let first = i64::try_from(known.turns.len()).expect("few turns") / 2;
    for number in first.. {
        let id = number * CHATS + chat.0;
        store.ingest(BOT, vec![message(id, chat, "question")]).await.expect("an ingest");
        promise(&format!("ingested {} {id}", chat.0));
        let done = store.pending(BOT, chat, 10).await.expect("pending").iter().map(|row| row.seq).collect();
        let turns = vec![turn(Role::Person, "question", id), turn(Role::Friend, "answer", id)];
        let change = Change { done, turns, out: vec![outgoing("answer")], ..Change::default() };
        store.finish(BOT, chat, known.epoch, change).await.expect("a finish");
        promise(&format!("answered {} {id}", chat.0));
        if number % 2 == 0 {
            let row = store.next_out(BOT, chat).await.expect("a read").expect("a row");
            store.mark(row.id, OutState::Sending).await.expect("a mark");
            store.mark(row.id, OutState::Sent).await.expect("a mark");
            promise(&format!("sent {} {id}", chat.0));
        }
    }
}

fn promise(line: &str) {
    // Only this line is ours: the test harness prints others.
    let _ = writeln!(std::io::stdout().lock(), "\n@{line}");
}

/// What the child promised: chat → counts, and every id that it ingested.
#[derive(Default)]
struct Promised {
    ingested: HashSet<i64>,
    answered: usize,
    sent: usize,
}

fn run_and_kill(folder: &Path, promises: usize, all: &mut HashMap<i64, Promised>) {
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "crash::child_that_writes_until_it_is_killed", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("a child");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    let mut seen = 0;
    // Lines that were already in the pipe when it died are promises too.
    while let Some(Ok(line)) = lines.next() {
        let Some(line) = line.strip_prefix('@') else { continue };
        let mut words = line.split(' ');
        let what = words.next().unwrap_or_default().to_owned();
        let mut number = || words.next().and_then(|word| word.parse::<i64>().ok());
        let (Some(chat), Some(id)) = (number(), number()) else { continue };
        let promised = all.entry(chat).or_default();
        match what.as_str() {
            "ingested" => {
                promised.ingested.insert(id);
            }
            "answered" => promised.answered += 1,
            _ => promised.sent += 1,
        }
        seen += 1;
        if seen == promises {
            child.kill().expect("kill -9");
        }
    }
    let status = child.wait().expect("its end");
    assert!(seen >= promises && !status.success(), "the child ended by itself after {seen} promises: {status}");
}

#[tokio::test]
async fn nothing_promised_is_lost_by_kill_9_and_nothing_is_half_done() {
    let folder = tempfile::tempdir().unwrap();
    let mut promised = HashMap::new();
    for promises in [1, 37, 200] {
        run_and_kill(folder.path(), promises, &mut promised);
        let store = open(folder.path());
        for chat in 1..=CHATS {
            check(&store, ChatId(chat), promised.entry(chat).or_default()).await;
        }
    }
}

async fn check(store: &SqliteStore, chat: ChatId, promised: &Promised) {
    let again = promised.ingested.iter().map(|&id| message(id, chat, "question")).collect();
    assert_eq!(store.ingest(BOT, again).await, Ok(vec![]), "an update that was taken is new again");

    // A question is either waiting, or answered with both turns and its outbox row: never in between.
    let export = store.export(BOT, chat).await.unwrap();
    let count = |key: &str| export[key].as_array().map_or(0, Vec::len);
    let (turns, waiting, not_sent) = (count("turns"), count("waiting_for_an_answer"), count("not_sent"));
    assert_eq!(turns % 2, 0, "a question without its answer");
    assert!(turns / 2 >= promised.answered, "{} answers were promised, {} are there", promised.answered, turns / 2);
    assert!(waiting <= 1 && turns / 2 + waiting >= promised.ingested.len());
    // A promise may have been kept and not yet printed: of each kind one at most, in each of the three lives.
    let sent = turns / 2 - not_sent;
    assert!((promised.sent..=promised.sent + 3).contains(&sent), "{} sends were promised, {sent} done", promised.sent);
}

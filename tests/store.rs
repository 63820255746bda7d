//! The store on a real disk: its promises, restarts, crashes, and what it says when it cannot.

#[path = "store/crash.rs"]
mod crash;
#[path = "store/reader.rs"]
mod reader;
#[path = "store/unwritable.rs"]
mod unwritable;

use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use ai_friend::adapters::sqlite::{DATABASE, OpenError, Options, SqliteStore};
use friend_actors::fakes::contract::{self, message, outgoing, turn, words};
use friend_actors::ports::{Change, OutState, Store, StoreError};
use friend_actors::types::{ChatId, Profile, Role};

const BOT: i64 = 1;
const ANN: ChatId = ChatId(1);

fn open(folder: &Path) -> SqliteStore {
    SqliteStore::open(folder, Options::default()).expect("a store")
}

/// Every byte of the folder's files, to look for words that should not be there.
fn bytes_on_disk(folder: &Path) -> Vec<u8> {
    let files = std::fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("an entry").path());
    files.flat_map(|file| std::fs::read(file).expect("a file")).collect()
}

fn contains(bytes: &[u8], word: &str) -> bool {
    bytes.windows(word.len()).any(|window| window == word.as_bytes())
}

#[tokio::test]
async fn it_keeps_the_promises_of_a_store() {
    let folder = tempfile::tempdir().unwrap();
    contract::check_store(&open(folder.path())).await;
}

#[tokio::test]
async fn a_restart_continues_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.ingest(BOT, vec![message(1, ANN, "hi"), message(2, ANN, "still there?")]).await.unwrap();
    let epoch = store.claim(BOT, ANN, 10).await.unwrap().epoch;
    let seq = store.pending(BOT, ANN, 1).await.unwrap()[0].seq;
    let change = Change {
        done: vec![seq],
        turns: vec![turn(Role::Person, "hi", 1), turn(Role::Friend, "hello", 2)],
        profile: Some(Profile { flirt: true, ..Profile::default() }),
        out: vec![outgoing("hello"), outgoing("how are you?")],
        reset: false,
    };
    store.finish(BOT, ANN, epoch, change).await.unwrap();
    let row = store.next_out(BOT, ANN).await.unwrap().unwrap();
    store.mark(row.id, OutState::Sending).await.unwrap();
    drop(store);

    let store = open(folder.path());
    assert_eq!(store.waiting(BOT).await, Ok(vec![ANN]));
    assert_eq!(words(&store.pending(BOT, ANN, 10).await.unwrap()), ["still there?"]);
    let perhaps = store.next_out(BOT, ANN).await.unwrap().unwrap();
    assert_eq!((perhaps.id, perhaps.state, perhaps.attempts), (row.id, OutState::Sending, 1));
    let owned = store.claim(BOT, ANN, 10).await.unwrap();
    assert!(owned.epoch > epoch && owned.profile.flirt);
    assert_eq!(owned.turns.len(), 2);
    assert_eq!(store.ingest(BOT, vec![message(1, ANN, "hi")]).await, Ok(vec![]));
}

#[tokio::test]
async fn a_failing_request_does_not_undo_its_neighbours() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let claimed = store.claim(BOT, ANN, 0).await.unwrap().epoch;
    let said = |text| Change { turns: vec![turn(Role::Person, text, 1)], ..Change::default() };
    // All three are queued before the store's thread can commit the first, so they share transactions.
    let (first, fenced, last) = tokio::join!(
        store.finish(BOT, ANN, claimed, said("first")),
        store.finish(BOT, ANN, claimed - 1, said("fenced")),
        store.finish(BOT, ANN, claimed, said("last")),
    );
    assert_eq!((first, fenced, last), (Ok(()), Err(StoreError::Fenced), Ok(())));
    let turns = store.claim(BOT, ANN, 10).await.unwrap().turns;
    assert_eq!(turns.iter().map(|turn| turn.text.as_str()).collect::<Vec<_>>(), ["first", "last"]);
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_the_store_whole() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    for id in 0..50 {
        let call = store.ingest(BOT, vec![message(id, ANN, "hi")]);
        // Polled once, so that it is queued, and dropped.
        let _ = tokio::time::timeout(Duration::ZERO, call).await;
    }
    let pending = store.pending(BOT, ANN, 100).await.unwrap();
    let known = store.ingest(BOT, (0..50).map(|id| message(id, ANN, "hi")).collect()).await.unwrap();
    let all = store.pending(BOT, ANN, 100).await.unwrap();
    assert_eq!(all.len(), 50, "{} were taken, {known:?} had more", pending.len());
}

#[tokio::test]
async fn a_full_queue_is_an_answer_and_not_a_wait_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let options =
        Options { queue_requests: 1, group_max_requests: 1, admission_wait: Duration::ZERO, ..Options::default() };
    let store = SqliteStore::open(folder.path(), options).unwrap();
    let calls = (0..64).map(|id| store.ingest(BOT, vec![message(id, ANN, "hi")]));
    let answers = futures_util::future::join_all(calls).await;
    let refused = answers.iter().filter(|answer| **answer == Err(StoreError::Overloaded)).count();
    assert!(refused > 0, "64 calls at once fit into a queue of one");
    let taken = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(taken + refused, 64);
    assert_eq!(store.pending(BOT, ANN, 100).await.unwrap().len(), taken);
}

#[tokio::test]
async fn erased_words_are_on_no_page_and_in_no_log() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let secret = "the-words-of-ann ".repeat(500);
    for id in 0..20 {
        store.ingest(BOT, vec![message(id, ANN, &secret)]).await.unwrap();
        let epoch = store.claim(BOT, ANN, 10).await.unwrap().epoch;
        let done = store.pending(BOT, ANN, 10).await.unwrap().iter().map(|row| row.seq).collect();
        let turns = vec![turn(Role::Person, &secret, id)];
        let change = Change { done, turns, out: vec![outgoing(&secret)], ..Change::default() };
        store.finish(BOT, ANN, epoch, change).await.unwrap();
    }
    assert!(contains(&bytes_on_disk(folder.path()), "words-of-ann"));
    store.erase(BOT, ANN, i64::MAX).await.unwrap();
    assert!(!contains(&bytes_on_disk(folder.path()), "words-of-ann"), "while it runs");
    drop(store);
    assert!(!contains(&bytes_on_disk(folder.path()), "words-of-ann"), "after it ended");
    assert_eq!(open(folder.path()).ingest(BOT, vec![message(3, ANN, "again")]).await, Ok(vec![]));
}

#[tokio::test]
async fn an_export_can_be_read_by_the_person_it_belongs_to() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.ingest(BOT, vec![message(1, ANN, "one more thing")]).await.unwrap();
    let epoch = store.claim(BOT, ANN, 0).await.unwrap().epoch;
    let felt = friend_actors::types::Scores([0.0, 0.0, 0.0, 0.75, 0.25, 0.0, 0.0]);
    let said = friend_actors::types::Turn { scores: Some(felt), ..turn(Role::Person, "hello", 1_700_000_000_000) };
    let profile = Profile { last_scores: Some(felt), ..Profile::default() };
    let change =
        Change { turns: vec![said], profile: Some(profile), out: vec![outgoing("hi Ann")], ..Change::default() };
    store.finish(BOT, ANN, epoch, change).await.unwrap();
    let export = store.export(BOT, ANN).await.unwrap();
    assert_eq!(export["turns"][0]["at"], "2023-11-14T22:13:20Z");
    assert_eq!(export["turns"][0]["who"], "person");
    assert_eq!(export["turns"][0]["felt"]["joy"], 0.75);
    assert_eq!(export["profile"]["last_scores"]["neutral"], 0.25);
    assert_eq!(export["waiting_for_an_answer"][0]["message"]["event"]["text"], "one more thing");
    assert_eq!(export["not_sent"][0]["message"]["text"], "hi Ann");
    let file = friend_actors::types::Outgoing::Document {
        file_name: "conversation.json".into(),
        content: export.to_string(),
        caption: "all of it".into(),
        topic: None,
    };
    store.finish(BOT, ANN, epoch, Change { out: vec![file], ..Change::default() }).await.unwrap();
    let again = store.export(BOT, ANN).await.unwrap();
    assert_eq!(again["not_sent"][1]["message"]["caption"], "all of it");
    assert!(again["not_sent"][1]["message"].get("content").is_none(), "no export holds another");
    let nobody = store.export(BOT, ChatId(99)).await.unwrap();
    assert_eq!(nobody["turns"], serde_json::json!([]));
}

static CLOCK_MS: AtomicI64 = AtomicI64::new(0);
const DAY_MS: i64 = 86_400_000;

#[tokio::test]
async fn only_age_removes_the_keys_of_updates_and_old_turns() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        keep_update_keys_days: 7,
        keep_turns_days: 30,
        now_ms: || CLOCK_MS.load(Ordering::Relaxed),
        ..Options::default()
    };
    let at = |day: i64| CLOCK_MS.store(day * DAY_MS, Ordering::Relaxed);
    at(1000);
    let store = SqliteStore::open(folder.path(), options).unwrap();
    store.ingest(BOT, (0..3000).map(|id| message(id, ANN, "hi")).collect()).await.unwrap();
    let epoch = store.claim(BOT, ANN, 0).await.unwrap().epoch;
    let turns = vec![turn(Role::Person, "old", 1000 * DAY_MS), turn(Role::Person, "newer", 1020 * DAY_MS)];
    store.finish(BOT, ANN, epoch, Change { turns, ..Change::default() }).await.unwrap();

    // Each call may sweep before the next one: twice more than the rows of one sweep need.
    let settle = async || {
        for _ in 0..4 {
            store.waiting(BOT).await.unwrap();
        }
    };
    at(1006);
    settle().await;
    assert_eq!(store.ingest(BOT, vec![message(5, ANN, "hi")]).await, Ok(vec![]), "six days: still known");
    at(1008);
    settle().await;
    assert_eq!(store.ingest(BOT, vec![message(5, ANN, "hi")]).await, Ok(vec![ANN]), "eight days: forgotten");
    assert_eq!(store.claim(BOT, ANN, 10).await.unwrap().turns.len(), 2);
    at(1031);
    settle().await;
    let left = store.claim(BOT, ANN, 10).await.unwrap().turns;
    assert_eq!(left.iter().map(|turn| turn.text.as_str()).collect::<Vec<_>>(), ["newer"]);
}

#[tokio::test]
async fn a_database_from_a_newer_program_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    let path = folder.path().join(DATABASE);
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let before = std::fs::read(&path).unwrap();
    let error = SqliteStore::open(folder.path(), Options::default()).unwrap_err();
    assert!(matches!(error, OpenError::Newer { found: 99, known: 1, .. }), "{error:?}");
    let told = error.to_string();
    assert!(told.contains("version 99") && told.contains("up to 1"), "{told}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn a_damaged_database_is_told_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(DATABASE);
    std::fs::write(&path, "this is a diary, not a database. ".repeat(200)).unwrap();
    let error = SqliteStore::open(folder.path(), Options::default()).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");

    std::fs::remove_file(&path).unwrap();
    let store = open(folder.path());
    let batch = (0..500).map(|id| message(id, ANN, &"some words ".repeat(20))).collect();
    store.ingest(BOT, batch).await.unwrap();
    drop(store);
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 16384].fill(0xa5);
    std::fs::write(&path, &bytes).unwrap();
    let error = SqliteStore::open(folder.path(), Options::default()).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
    assert!(error.to_string().contains("Restore a backup"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
}

#[test]
fn two_stores_cannot_share_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let error = SqliteStore::open(folder.path(), Options::default()).unwrap_err();
    let told = error.to_string();
    assert!(matches!(error, OpenError::Locked { .. }), "{told}");
    assert!(told.contains(&format!("process {}", std::process::id())), "{told}");
    drop(store);
    // A child that another test is just starting holds copies of all open files until its own program begins.
    let free = (0..200).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        SqliteStore::open(folder.path(), Options::default()).is_ok()
    });
    assert!(free, "the lock goes with its store");
}

#[test]
#[cfg(unix)]
fn nobody_else_on_the_machine_can_read_what_people_wrote() {
    use std::os::unix::fs::PermissionsExt;
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("new/data");
    let _store = open(&folder);
    for entry in std::fs::read_dir(&folder).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", entry.path().display());
    }
    assert_eq!(std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
}

//! Another program that reads the database while the bot serves: a backup, a shell.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use ai_friend::adapters::sqlite::{DATABASE, Options, SqliteStore};
use friend_actors::fakes::contract::{message, outgoing, turn};
use friend_actors::ports::{Change, OutState, Store};
use friend_actors::types::{ChatId, Role};
use rusqlite::Connection;

use super::{ANN, BOT, bytes_on_disk, contains};

const BEN: ChatId = ChatId(2);
static CLOCK_MS: AtomicI64 = AtomicI64::new(0);

#[tokio::test]
async fn forgetting_someone_while_another_program_reads_disturbs_nobody_and_leaves_no_word_for_long() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { now_ms: || CLOCK_MS.load(Ordering::Relaxed), ..Options::default() };
    let store = SqliteStore::open(folder.path(), options).unwrap();
    let ann = store.claim(BOT, ANN, 0).await.unwrap().epoch;
    let turns = vec![turn(Role::Person, "the-words-of-ann", 1)];
    store.finish(BOT, ANN, ann, Change { turns, ..Change::default() }).await.unwrap();
    let ben = store.claim(BOT, BEN, 0).await.unwrap().epoch;
    let answer = Change { out: vec![outgoing("hello Ben")], ..Change::default() };
    store.finish(BOT, BEN, ben, answer).await.unwrap();
    let row = store.next_out(BOT, BEN).await.unwrap().unwrap();

    let reader = Connection::open(folder.path().join(DATABASE)).unwrap();
    reader.execute_batch("BEGIN").unwrap();
    let turns: i64 = reader.query_row("SELECT count(*) FROM turns", [], |row| row.get(0)).unwrap();
    assert_eq!(turns, 1, "it has begun to read");

    let begun = Instant::now();
    // While the first is on its way to the disk, the others are queued and share a transaction.
    let (_, erased, marked, ingested) = tokio::join!(
        store.claim(BOT, ChatId(3), 0),
        store.erase(BOT, ANN, i64::MAX),
        store.mark(row.id, OutState::Sending),
        store.ingest(BOT, vec![message(1, BEN, "are you there?")]),
    );
    assert_eq!(erased, Ok(()), "her rows are gone: there is nothing to do again");
    assert_eq!((marked, ingested), (Ok(true), Ok(vec![BEN])));
    assert!(begun.elapsed() < Duration::from_secs(3), "everybody waited for the reader");
    assert_eq!(store.claim(BOT, ANN, 10).await.unwrap().turns, vec![]);
    assert!(contains(&bytes_on_disk(folder.path()), "words-of-ann"), "the reader still sees the old pages");

    reader.execute_batch("COMMIT").unwrap();
    drop(reader);
    CLOCK_MS.fetch_add(3_600_000, Ordering::Relaxed);
    // The try comes after the first one's answer, so before the second's.
    store.waiting(BOT).await.unwrap();
    store.waiting(BOT).await.unwrap();
    assert!(!contains(&bytes_on_disk(folder.path()), "words-of-ann"), "once nobody reads them any more");
}

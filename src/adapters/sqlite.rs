//! The truth in SQLite: one file, one thread, many requests a commit.
//!
//! WAL and `synchronous=FULL`: when a call returns, its change has been fsynced. Calls that arrive while a commit is on
//! its way to the disk share the next one, so a busy disk costs latency and not throughput.

mod export;
mod log;
mod open;
mod queries;
mod writer;

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use friend_actors::ports::{Change, ChatState, OutRow, OutState, Pending, Store, StoreError};
use friend_actors::types::{ChatId, Incoming};
use rusqlite::Connection;

use crate::config;
use writer::{Kind, Writer};

pub use open::{DATABASE, LOCK, OpenError};

/// A [`Store`] in a folder of its own. Dropping it finishes what is queued, closes the database and frees the lock.
#[derive(Debug)]
pub struct SqliteStore {
    writer: Writer,
}

/// Bounds of a [`SqliteStore`].
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Requests that may wait for the database.
    pub queue_requests: usize,
    /// Most requests committed together.
    pub group_max_requests: usize,
    /// How long a caller waits for a place in a full queue before it hears [`StoreError::Overloaded`].
    pub admission_wait: Duration,
    /// Days that keys of updates are kept.
    pub keep_update_keys_days: u32,
    /// Days that turns are kept; 0 is for ever.
    pub keep_turns_days: u32,
    /// The database's largest size in MiB; 0 is no limit but the disk's.
    pub max_size_mib: u64,
    /// The clock: Unix time in milliseconds. Decides only what is old.
    pub now_ms: fn() -> i64,
}

impl Default for Options {
    fn default() -> Self {
        Self::from(&config::Store::default())
    }
}

impl From<&config::Store> for Options {
    fn from(config: &config::Store) -> Self {
        Self {
            queue_requests: config.queue_requests,
            group_max_requests: config.group_max_requests,
            admission_wait: Duration::from_secs(2),
            keep_update_keys_days: config.keep_update_keys_days,
            keep_turns_days: config.keep_turns_days,
            max_size_mib: config.max_size_mib,
            now_ms: unix_ms,
        }
    }
}

fn unix_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

impl SqliteStore {
    /// Opens the database of a data folder; makes both if they are not there, and brings an older database up to date.
    /// Checks the file's structure first, which reads all of it (about a second a GiB).
    ///
    /// # Errors
    /// [`OpenError`]: the folder cannot be written, another process has it, the database is damaged or newer.
    pub fn open(folder: &Path, options: Options) -> Result<Self, OpenError> {
        let opened = open::open(folder, &options)?;
        let writer = Writer::start(opened, options).map_err(|source| OpenError::Thread { source })?;
        Ok(Self { writer })
    }

    /// Requests that wait for the database now.
    pub fn queued(&self) -> usize {
        self.writer.queued()
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.writer.call(Kind::Read, work).await
    }

    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.writer.call(Kind::Write, work).await
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn ingest(&self, bot: i64, batch: Vec<Incoming>) -> Result<Vec<ChatId>, StoreError> {
        let now = self.writer.now_ms();
        self.write(move |db| queries::ingest(db, bot, &batch, now)).await
    }

    async fn waiting(&self, bot: i64) -> Result<Vec<ChatId>, StoreError> {
        self.read(move |db| queries::waiting(db, bot)).await
    }

    async fn claim(&self, bot: i64, chat: ChatId, turns: usize) -> Result<ChatState, StoreError> {
        self.write(move |db| queries::claim(db, bot, chat, turns)).await
    }

    async fn pending(&self, bot: i64, chat: ChatId, limit: usize) -> Result<Vec<Pending>, StoreError> {
        self.read(move |db| queries::pending(db, bot, chat, limit)).await
    }

    async fn finish(&self, bot: i64, chat: ChatId, epoch: i64, change: Change) -> Result<(), StoreError> {
        let now = self.writer.now_ms();
        self.write(move |db| queries::finish(db, queries::Owner { bot, chat, epoch }, &change, now)).await
    }

    async fn unsent(&self, bot: i64) -> Result<Vec<ChatId>, StoreError> {
        self.read(move |db| queries::unsent(db, bot)).await
    }

    async fn next_out(&self, bot: i64, chat: ChatId) -> Result<Option<OutRow>, StoreError> {
        self.read(move |db| queries::next_out(db, bot, chat)).await
    }

    async fn mark(&self, row: i64, state: OutState) -> Result<bool, StoreError> {
        self.write(move |db| queries::mark(db, row, state)).await
    }

    async fn migrate(&self, bot: i64, from: ChatId, to: ChatId) -> Result<(), StoreError> {
        self.write(move |db| queries::migrate(db, bot, from, to)).await
    }

    async fn erase(&self, bot: i64, chat: ChatId, before: i64) -> Result<(), StoreError> {
        self.writer.call(Kind::Erase, move |db| queries::erase(db, bot, chat, before)).await
    }

    async fn export(&self, bot: i64, chat: ChatId) -> Result<serde_json::Value, StoreError> {
        self.read(move |db| export::export(db, bot, chat)).await
    }
}

/// What SQLite says, in terms of what to do about it. Never holds a value from a row.
fn store_error(error: &rusqlite::Error) -> StoreError {
    use rusqlite::ErrorCode;
    let unwritable = |what: &str| StoreError::Unwritable(format!("{what}; nothing was changed ({error})"));
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => unwritable("the disk is full, or the database has reached store.max_size_mib"),
        Some(ErrorCode::ReadOnly) => unwritable("it is read-only"),
        Some(ErrorCode::SystemIoFailure) => unwritable("reading or writing the disk failed"),
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => unwritable("a file in it cannot be opened"),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Other(format!(
            "the database {DATABASE} is damaged: stop, and restore it from a backup ({error})"
        )),
        Some(_) => StoreError::Other(error.to_string()),
        // rusqlite's own errors name columns and types, but a conversion error may quote what it could not convert.
        None => StoreError::Other("a row of the database does not have the expected form".to_owned()),
    }
}

//! Emptying SQLite's write-ahead log: older pages, with words that were erased since, may still stand in it.

use std::time::Duration;

use friend_actors::ports::StoreError;
use rusqlite::Connection;

use super::open::BUSY_WAIT;
use super::queries::sql;

/// How long one try waits for other programs that read the database. Everybody's requests wait meanwhile.
const PATIENCE: Duration = Duration::from_millis(50);
/// Time between the first two tries while another program is in the way; it doubles from try to try.
const FIRST_PAUSE_MS: i64 = 1000;
/// Longest time between two tries.
const LONGEST_PAUSE_MS: i64 = 300_000;

/// The log, and whether it is to be emptied.
///
/// A program that reads the database (a backup, a shell) keeps the log as it is for as long as its transaction lasts. Who
/// asked to be forgotten is not kept waiting for that: the rows are gone, and the log is emptied as soon as it can be.
pub(super) struct Log {
    now_ms: fn() -> i64,
    due: bool,
    next_ms: i64,
    /// Between two tries; 0 while none has failed.
    pause_ms: i64,
}

impl Log {
    /// Due at once: the process before this one may have ended before it could empty it.
    pub(super) fn new(now_ms: fn() -> i64) -> Self {
        Self { now_ms, due: true, next_ms: i64::MIN, pause_ms: 0 }
    }

    /// Copies it into the database and cuts it to nothing: now, or else at a later [`Log::retry`].
    pub(super) fn empty(&mut self, db: &Connection) {
        let emptied = truncate(db);
        let failed_before = self.pause_ms > 0;
        self.due = emptied.is_err();
        match emptied {
            Ok(()) => {
                self.pause_ms = 0;
                if failed_before {
                    tracing::info!("the database's log is emptied: no erased words are left in it");
                }
            }
            Err(error) => {
                self.pause_ms = (self.pause_ms * 2).clamp(FIRST_PAUSE_MS, LONGEST_PAUSE_MS);
                self.next_ms = (self.now_ms)().saturating_add(self.pause_ms);
                if !failed_before {
                    tracing::warn!(
                        %error,
                        "the database's log cannot be emptied yet, so words that were erased from the database may still \
                         stand in it; it is tried again until it succeeds: end what else reads the database"
                    );
                }
            }
        }
    }

    /// Tries again, if it is due and time for it.
    pub(super) fn retry(&mut self, db: &Connection) {
        if self.due && (self.now_ms)() >= self.next_ms {
            self.empty(db);
        }
    }

    /// The last try, before the database is closed.
    pub(super) fn close(mut self, db: &Connection) {
        if self.due {
            self.empty(db);
        }
    }
}

fn truncate(db: &Connection) -> Result<(), StoreError> {
    db.busy_timeout(PATIENCE).map_err(sql)?;
    let busy = db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
    db.busy_timeout(BUSY_WAIT).map_err(sql)?;
    match busy {
        Ok(0) => Ok(()),
        Ok(_) => Err(StoreError::Other("another program reads the database".to_owned())),
        Err(error) => Err(sql(error)),
    }
}

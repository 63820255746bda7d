//! Opening a data folder: lock, checks, pragmas, migrations. Every way it can fail has words of its own.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};

use super::Options;

/// The database's file in the data folder.
pub const DATABASE: &str = "ai-friend.db";
/// The lock's file in the data folder: held by the process that uses it.
pub const LOCK: &str = "ai-friend.lock";

/// Each brings the database from the version of its index to the next.
const MIGRATIONS: &[&str] = &[include_str!("migrations/0001_first.sql")];

/// Pages of 4 KiB after which the log is copied into the database: 4 MiB.
const CHECKPOINT_PAGES: u32 = 1000;
const PAGES_PER_MIB: u64 = 256;
/// How long a request waits for a lock that another program holds on the database.
pub(super) const BUSY_WAIT: Duration = Duration::from_secs(5);

/// Why a data folder could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It is a file, or its parent is missing or forbidden.
    #[error("the data folder {} cannot be made: {source}. Name another one with --data or AI_FRIEND_DATA", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// No file can be made or written in it.
    #[error(
        "the data folder {} cannot be written: {reason}. Check its owner and the disk's free space, or name another one \
         with --data or AI_FRIEND_DATA",
        folder.display()
    )]
    Unwritable {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// Two processes on one folder would answer everyone twice.
    #[error("the data folder {} is in use by {owner}. Stop it first, or name another folder with --data", folder.display())]
    Locked {
        /// The folder.
        folder: PathBuf,
        /// The other process, as far as it is known.
        owner: String,
    },
    /// Written by a later release.
    #[error(
        "the database {} has version {found}, and this program knows versions up to {known}: use the newer program, or \
         restore a backup from before its first start",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest version that this program knows.
        known: i64,
    },
    /// No SQLite file, or one with broken pages.
    #[error(
        "the database {} is damaged: {reason}. Restore a backup; or move the file away to start with an empty memory",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The first thing found.
        reason: String,
    },
    /// Anything else SQLite says.
    #[error("the database {} cannot be opened: {source}", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// No thread could be started.
    #[error("the store's thread cannot be started: {source}")]
    Thread {
        /// What the system said.
        source: std::io::Error,
    },
}

/// An open database, and the lock that must live as long.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) db: Connection,
    pub(super) lock: File,
}

/// Opens or makes the database of a folder.
pub(super) fn open(folder: &Path, options: &Options) -> Result<Opened, OpenError> {
    make_folder(folder).map_err(|source| OpenError::Folder { folder: folder.to_owned(), source })?;
    let lock = lock(folder)?;
    let path = folder.join(DATABASE);
    // Made by us and not by SQLite, so that nobody else on the machine can read what people wrote; SQLite gives its
    // other files the same permissions.
    private(&path).map_err(|error| unwritable(folder, &error))?;
    let db = prepare(&path, options).map_err(|failure| match failure {
        Failure::Newer { found } => OpenError::Newer { path: path.clone(), found, known: known_version() },
        Failure::Damaged(reason) => OpenError::Damaged { path: path.clone(), reason },
        Failure::Sqlite(source) => match source.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
                OpenError::Damaged { path: path.clone(), reason: source.to_string() }
            }
            Some(ErrorCode::ReadOnly | ErrorCode::DiskFull | ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) => {
                unwritable(folder, &source)
            }
            _ => OpenError::Sqlite { path: path.clone(), source },
        },
    })?;
    Ok(Opened { db, lock })
}

fn known_version() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

fn unwritable(folder: &Path, reason: &dyn std::fmt::Display) -> OpenError {
    OpenError::Unwritable { folder: folder.to_owned(), reason: reason.to_string() }
}

fn make_folder(folder: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Opens or makes a file that only its owner can read.
fn private(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// The system frees this lock when the process ends, however it ends.
fn lock(folder: &Path) -> Result<File, OpenError> {
    let mut file = private(&folder.join(LOCK)).map_err(|error| unwritable(folder, &error))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            let known = file.read_to_string(&mut pid).is_ok() && pid.trim().parse::<u32>().is_ok();
            let owner = if known { format!("process {}", pid.trim()) } else { "another process".to_owned() };
            return Err(OpenError::Locked { folder: folder.to_owned(), owner });
        }
        Err(TryLockError::Error(error)) => return Err(unwritable(folder, &error)),
    }
    let pid = format!("{}\n", std::process::id());
    file.set_len(0).and_then(|()| file.write_all(pid.as_bytes())).map_err(|error| unwritable(folder, &error))?;
    Ok(file)
}

enum Failure {
    Newer { found: i64 },
    Damaged(String),
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

fn prepare(path: &Path, options: &Options) -> Result<Connection, Failure> {
    let mut db = Connection::open(path)?;
    db.busy_timeout(BUSY_WAIT)?;
    let found: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if found > known_version() || found < 0 {
        return Err(Failure::Newer { found });
    }
    let check: String = db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if check != "ok" {
        return Err(Failure::Damaged(check));
    }
    db.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    db.pragma_update(None, "synchronous", "full")?;
    db.pragma_update(None, "foreign_keys", true)?;
    // Deleted words are overwritten with zeros, not left on free pages.
    db.pragma_update(None, "secure_delete", true)?;
    db.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    db.set_prepared_statement_cache_capacity(64);
    let pages = u32::try_from(options.max_size_mib.saturating_mul(PAGES_PER_MIB)).unwrap_or(u32::MAX - 1);
    if pages > 0 {
        db.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
    }
    migrate(&mut db, found)?;
    Ok(db)
}

/// Also where nothing is to migrate, this writes the version: a folder that cannot be written is found at the start.
fn migrate(db: &mut Connection, found: i64) -> Result<(), Failure> {
    let transaction = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    for migration in MIGRATIONS.iter().skip(usize::try_from(found).unwrap_or(0)) {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "user_version", known_version())?;
    transaction.commit()?;
    Ok(())
}

//! The thread that owns the database: groups of requests, one transaction a group, replies after its fsync.

use std::fs::File;
use std::thread::JoinHandle;

use friend_actors::ports::StoreError;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::log::Log;
use super::open::Opened;
use super::{Options, queries, store_error};

/// How often old rows are looked for.
const SWEEP_EVERY_MS: i64 = 3_600_000;
/// Most rows of a table that one sweep deletes, so that no request waits long behind it.
const SWEEP_ROWS: u32 = 2000;

/// The callers' half.
#[derive(Debug)]
pub(super) struct Writer {
    /// Taken by drop.
    queue: Option<mpsc::Sender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
    options: Options,
}

/// What a request does to the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Changes nothing: answered before the group's writes, from what is committed.
    Read,
    /// Changes rows: answered after the commit.
    Write,
    /// Removes words for good: answered after the commit and a try to empty the log, which goes on later where it fails.
    Erase,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(opened: Opened, options: Options) -> std::io::Result<Self> {
        let (queue, jobs) = mpsc::channel(options.queue_requests.max(1));
        let work = move || serve(opened, jobs, options);
        let thread = std::thread::Builder::new().name("store".to_owned()).spawn(work)?;
        Ok(Self { queue: Some(queue), thread: Some(thread), options })
    }

    /// Runs `work` on the thread, and returns when its change is on the disk. A caller that goes away does not undo it.
    pub(super) async fn call<T, F>(&self, kind: Kind, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let queue = self.queue.as_ref().ok_or(StoreError::Stopped)?;
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Call { kind, work: Some(work), outcome: None, reply });
        match tokio::time::timeout(self.options.admission_wait, queue.send(job)).await {
            Ok(Ok(())) => answer.await.unwrap_or(Err(StoreError::Stopped)),
            Ok(Err(_)) => Err(StoreError::Stopped),
            Err(_) => Err(StoreError::Overloaded),
        }
    }

    pub(super) fn queued(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.max_capacity() - queue.capacity())
    }

    pub(super) fn now_ms(&self) -> i64 {
        (self.options.now_ms)()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Without senders the thread finishes what is queued and ends.
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // A panic there was already reported by every unanswered call.
            let _ = thread.join();
        }
    }
}

/// A request in the queue.
trait Job: Send {
    fn kind(&self) -> Kind;
    /// Does the work and keeps its outcome. After an error it must leave no trace.
    fn run(&mut self, db: &Connection) -> Result<(), StoreError>;
    /// Tells the caller: the outcome, or why the whole group failed.
    fn reply(self: Box<Self>, group: Result<(), StoreError>);
}

struct Call<T, F> {
    kind: Kind,
    work: Option<F>,
    outcome: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Job for Call<T, F>
where
    T: Send,
    F: FnOnce(&Connection) -> Result<T, StoreError> + Send,
{
    fn kind(&self) -> Kind {
        self.kind
    }

    fn run(&mut self, db: &Connection) -> Result<(), StoreError> {
        let outcome = self.work.take().map_or(Err(StoreError::Stopped), |work| work(db));
        let failure = outcome.as_ref().err().cloned();
        self.outcome = Some(outcome);
        failure.map_or(Ok(()), Err)
    }

    fn reply(self: Box<Self>, group: Result<(), StoreError>) {
        let outcome = match (group, self.outcome) {
            // Its own failure says more than the group's.
            (_, Some(Err(error))) | (Err(error), _) => Err(error),
            (Ok(()), Some(Ok(value))) => Ok(value),
            (Ok(()), None) => Err(StoreError::Stopped),
        };
        // A caller that went away does not need the answer.
        let _ = self.reply.send(outcome);
    }
}

fn serve(opened: Opened, mut jobs: mpsc::Receiver<Box<dyn Job>>, options: Options) {
    // The lock is freed last, after the connection is closed.
    let Opened { db, lock } = opened;
    let _lock: File = lock;
    let mut sweeper = Sweeper { options, next_ms: i64::MIN };
    let mut log = Log::new(options.now_ms);
    log.retry(&db);
    sweeper.sweep(&db);
    while let Some(first) = jobs.blocking_recv() {
        let mut group = vec![first];
        while group.len() < options.group_max_requests
            && let Ok(job) = jobs.try_recv()
        {
            group.push(job);
        }
        answer(&db, group, &mut log);
        sweeper.sweep(&db);
        log.retry(&db);
    }
    log.close(&db);
    drop(db);
}

/// Serves one group: reads from one snapshot, then writes in one transaction.
fn answer(db: &Connection, group: Vec<Box<dyn Job>>, log: &mut Log) {
    let (reads, mut writes): (Vec<_>, Vec<_>) = group.into_iter().partition(|job| job.kind() == Kind::Read);
    for mut job in reads {
        let outcome = job.run(db);
        job.reply(outcome);
    }
    if writes.is_empty() {
        return;
    }
    let fate = commit(db, &mut writes);
    // What becomes of the log is no concern of the neighbours: their changes are on the disk, and they hear it first.
    let (erasures, others): (Vec<_>, Vec<_>) = writes.into_iter().partition(|job| job.kind() == Kind::Erase);
    for job in others {
        job.reply(fate.clone());
    }
    if fate.is_ok() && !erasures.is_empty() {
        log.empty(db);
    }
    for job in erasures {
        job.reply(fate.clone());
    }
}

/// One transaction for all; a request that fails is undone alone. An error means that nothing of it was kept.
fn commit(db: &Connection, writes: &mut [Box<dyn Job>]) -> Result<(), StoreError> {
    let run = |sql: &str| {
        let done = db.prepare_cached(sql).and_then(|mut statement| statement.execute([]));
        done.map(|_| ()).map_err(|error| store_error(&error))
    };
    run("BEGIN IMMEDIATE")?;
    let all = || -> Result<(), StoreError> {
        for job in writes {
            run("SAVEPOINT request")?;
            if let Err(error) = job.run(db) {
                // Where the disk fails, SQLite may have undone the whole transaction: then the group shares the error.
                if db.is_autocommit() {
                    return Err(error);
                }
                run("ROLLBACK TO request")?;
            }
            run("RELEASE request")?;
        }
        run("COMMIT")
    };
    let result = all();
    if !db.is_autocommit() {
        // The error that led here says more than one of undoing it.
        let _ = run("ROLLBACK");
    }
    result
}

/// Deletes what is too old, a little at a time.
struct Sweeper {
    options: Options,
    next_ms: i64,
}

impl Sweeper {
    fn sweep(&mut self, db: &Connection) {
        let now = (self.options.now_ms)();
        if now < self.next_ms {
            return;
        }
        let swept = queries::sweep(db, &self.options, now, SWEEP_ROWS);
        if let Err(error) = &swept {
            tracing::warn!(%error, "old rows could not be deleted; the next try is in an hour");
        }
        // Where the bound was reached there is more: go on after the next request.
        let more = swept.is_ok_and(|rows| rows >= SWEEP_ROWS as usize);
        self.next_ms = if more { now } else { now.saturating_add(SWEEP_EVERY_MS) };
    }
}

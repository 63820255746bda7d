//! The bounded way into an engine: who may submit, what waits, and what callers can read without asking its thread.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use crate::request::{Cancel, Completion, EngineStatus, GenerateError, OwnerId, Request, SubmitError, Ticket};

/// Shared between callers (submit, forget, status) and the engine (take, publish).
#[derive(Debug)]
pub struct Mailbox {
    state: Mutex<State>,
    arrived: Condvar,
    capacity: usize,
}

#[derive(Debug, Default)]
struct State {
    jobs: VecDeque<Job>,
    in_flight: HashMap<OwnerId, InFlight>,
    forget: HashSet<OwnerId>,
    /// Taken by the engine, not yet given a slot.
    waiting: usize,
    status: EngineStatus,
    outlook: Outlook,
    next_id: u64,
    stopping: bool,
    stopped: bool,
}

/// What a newcomer has to expect, as learnt from those before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outlook {
    /// What each waiting request adds to the wait for a slot, about.
    pub wait_each: Duration,
    /// From a slot to the end of the answer; zero before the first has ended.
    pub answer: Duration,
}

#[derive(Debug)]
struct InFlight {
    id: u64,
    cancel: Cancel,
    /// Weak: the engine alone decides when the stream ends.
    text: mpsc::WeakSender<String>,
}

/// An accepted request on its way through the engine.
#[derive(Debug)]
pub struct Job {
    /// What to generate.
    pub request: Request,
    /// When it was accepted.
    pub submitted: Instant,
    /// Where the answer goes.
    pub reply: Reply,
}

/// Where an answer goes. Finishing it, or dropping it unfinished, lets the owner submit again.
#[derive(Debug)]
pub struct Reply {
    /// Arrival order, unique.
    pub id: u64,
    owner: OwnerId,
    text: mpsc::Sender<String>,
    done: Option<oneshot::Sender<Result<Completion, GenerateError>>>,
    cancel: Cancel,
    mailbox: Arc<Mailbox>,
}

/// What the engine finds when it looks.
#[derive(Debug, Default)]
pub struct Taken {
    /// New requests, in order of arrival.
    pub jobs: Vec<Job>,
    /// Owners to forget.
    pub forget: Vec<OwnerId>,
    /// The engine shall end.
    pub stop: bool,
}

impl Mailbox {
    /// An empty mailbox in which `capacity` requests may wait.
    pub fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), arrived: Condvar::new(), capacity: capacity.max(1) })
    }

    /// Accepts a request, or says why not. `now` is the time of submission.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub fn submit(self: &Arc<Self>, request: Request, now: Instant) -> Result<Ticket, SubmitError> {
        let mut state = self.lock();
        if state.stopped || state.stopping {
            return Err(SubmitError::Stopped);
        }
        let busy = |flight: &InFlight| {
            !flight.cancel.is_cancelled() && flight.text.upgrade().is_some_and(|text| !text.is_closed())
        };
        if state.in_flight.get(&request.owner).is_some_and(busy) {
            return Err(SubmitError::Busy);
        }
        let queued = state.jobs.len() + state.waiting;
        let Outlook { wait_each, answer } = state.outlook;
        let behind = |requests: usize| wait_each.saturating_mul(u32::try_from(requests).unwrap_or(u32::MAX));
        let wait = behind(queued);
        // Accepted although it cannot end in time, it would take a slot and give no answer; and so would all behind it.
        let too_late = queued > 0 && wait + answer > request.time_limit;
        if queued >= self.capacity || too_late {
            let wait = behind(queued + 1);
            return Err(SubmitError::Overloaded { queued, wait });
        }
        let id = state.next_id;
        state.next_id += 1;
        let capacity = usize::try_from(request.max_new_tokens).unwrap_or(usize::MAX).clamp(1, MOST_NEW_TOKENS) + 2;
        let (text, text_receiver) = mpsc::channel(capacity);
        let (done, done_receiver) = oneshot::channel();
        let cancel = Cancel::default();
        let owner = request.owner;
        let flight = InFlight { id, cancel: cancel.clone(), text: text.downgrade() };
        state.in_flight.insert(owner, flight);
        let reply = Reply { id, owner, text, done: Some(done), cancel: cancel.clone(), mailbox: Arc::clone(self) };
        state.jobs.push_back(Job { request, submitted: now, reply });
        drop(state);
        self.arrived.notify_one();
        Ok(Ticket { text: text_receiver, done: done_receiver, cancel, wait })
    }

    /// Has the engine drop what it remembers of an owner.
    pub fn forget(&self, owner: OwnerId) {
        let mut state = self.lock();
        if !state.stopped {
            state.forget.insert(owner);
        }
        drop(state);
        self.arrived.notify_one();
    }

    /// What the engine published last, with what waits now.
    pub fn status(&self) -> EngineStatus {
        let state = self.lock();
        EngineStatus { queued: state.jobs.len() + state.waiting, ..state.status }
    }

    /// Asks the engine to end. Answers in flight end without an outcome.
    pub fn stop(&self) {
        self.lock().stopping = true;
        self.arrived.notify_all();
    }

    /// The engine has ended: nothing is accepted any more, and whatever waits ends without an outcome.
    pub fn close(&self) {
        let mut state = self.lock();
        state.stopped = true;
        let jobs = std::mem::take(&mut state.jobs);
        drop(state);
        // Outside the lock: a dropped reply takes it.
        drop(jobs);
    }

    /// Takes everything that arrived; with `wait` it first waits until something has.
    pub fn take(&self, wait: bool) -> Taken {
        let mut state = self.lock();
        while wait && state.jobs.is_empty() && state.forget.is_empty() && !state.stopping {
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let jobs: Vec<_> = state.jobs.drain(..).collect();
        state.waiting += jobs.len();
        Taken { jobs, forget: state.forget.drain().collect(), stop: state.stopping }
    }

    /// Publishes the engine's gauges: `waiting` requests have no slot, and what a newcomer has to expect.
    pub fn publish(&self, status: EngineStatus, waiting: usize, outlook: Outlook) {
        let mut state = self.lock();
        (state.status, state.waiting, state.outlook) = (status, waiting, outlook);
    }

    fn release(&self, owner: OwnerId, id: u64) {
        let mut state = self.lock();
        if state.in_flight.get(&owner).is_some_and(|flight| flight.id == id) {
            state.in_flight.remove(&owner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bound on the text channel of one request, whatever its `max_new_tokens` say (the engine refuses such requests).
const MOST_NEW_TOKENS: usize = 1 << 16;

impl Reply {
    /// Whether the caller has gone or asked to end.
    pub fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled() || self.text.is_closed()
    }

    /// Hands out text. False where the caller has gone or reads too slowly: the request is then cancelled.
    pub fn send(&self, text: String) -> bool {
        self.text.try_send(text).is_ok()
    }

    /// The outcome. The owner may submit again before the caller sees it.
    pub fn finish(mut self, outcome: Result<Completion, GenerateError>) {
        self.mailbox.release(self.owner, self.id);
        if let Some(done) = self.done.take() {
            // A caller that no longer waits needs no answer.
            let _ = done.send(outcome);
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if self.done.is_some() {
            self.mailbox.release(self.owner, self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{Prompt, Sampling, Stop};

    fn request(owner: u64) -> Request {
        Request {
            owner: OwnerId(owner),
            prompt: Prompt::default(),
            sampling: Sampling::default(),
            stop: Stop::default(),
            min_new_tokens: 0,
            max_new_tokens: 4,
            seed: 0,
            time_limit: Duration::from_secs(60),
        }
    }

    #[test]
    fn a_full_mailbox_answers_with_the_queue_and_an_estimated_wait() {
        let mailbox = Mailbox::new(2);
        let now = Instant::now();
        let _one = mailbox.submit(request(1), now).unwrap();
        assert_eq!(mailbox.take(false).jobs.len(), 1, "still counted while the engine has it waiting");
        let _two = mailbox.submit(request(2), now).unwrap();
        let outlook = Outlook { wait_each: Duration::from_secs(2), ..Outlook::default() };
        mailbox.publish(EngineStatus::default(), 1, outlook);
        let refused = mailbox.submit(request(3), now).unwrap_err();
        assert_eq!(refused, SubmitError::Overloaded { queued: 2, wait: Duration::from_secs(6) });
        mailbox.publish(EngineStatus::default(), 0, outlook);
        assert_eq!(mailbox.submit(request(3), now).unwrap().wait, Duration::from_secs(2), "behind the second");
    }

    #[test]
    fn who_could_not_be_answered_in_time_is_refused_before_he_waits() {
        let mailbox = Mailbox::new(99);
        let now = Instant::now();
        let seconds = Duration::from_secs;
        let outlook = Outlook { wait_each: seconds(5), answer: seconds(30) };
        mailbox.publish(EngineStatus::default(), 6, outlook);
        let _in_time = mailbox.submit(request(1), now).unwrap();
        let refused = mailbox.submit(request(2), now).unwrap_err();
        assert_eq!(refused, SubmitError::Overloaded { queued: 7, wait: seconds(40) });
        mailbox.publish(EngineStatus::default(), 0, Outlook { answer: seconds(900), ..outlook });
        drop(mailbox.take(false));
        mailbox.publish(EngineStatus::default(), 0, Outlook { answer: seconds(900), ..outlook });
        mailbox.submit(request(3), now).expect("where nobody waits it is tried, however slow the machine is");
    }

    #[test]
    fn an_owner_has_one_answer_in_flight_until_it_ends_or_is_given_up() {
        let mailbox = Mailbox::new(9);
        let now = Instant::now();
        let first = mailbox.submit(request(1), now).unwrap();
        assert_eq!(mailbox.submit(request(1), now).unwrap_err(), SubmitError::Busy);
        first.cancel.cancel();
        let second = mailbox.submit(request(1), now).unwrap();
        assert_eq!(mailbox.submit(request(1), now).unwrap_err(), SubmitError::Busy);
        let mut jobs = mailbox.take(false).jobs;
        jobs.remove(0).reply.finish(Err(GenerateError::Cancelled));
        assert_eq!(mailbox.submit(request(1), now).unwrap_err(), SubmitError::Busy, "the second is still in flight");
        drop(second);
        let mut third = mailbox.submit(request(1), now).unwrap();
        jobs.clear();
        drop(mailbox.take(false));
        assert_eq!(
            third.done.try_recv().unwrap_err(),
            oneshot::error::TryRecvError::Closed,
            "it ends, if without an answer"
        );
        assert!(mailbox.lock().in_flight.is_empty());
        mailbox.submit(request(1), now).unwrap();
    }

    #[test]
    fn a_stopped_engine_accepts_nothing_and_ends_what_waits() {
        let mailbox = Mailbox::new(9);
        let mut ticket = mailbox.submit(request(1), Instant::now()).unwrap();
        mailbox.close();
        assert!(matches!(ticket.done.try_recv(), Err(oneshot::error::TryRecvError::Closed)));
        assert_eq!(mailbox.submit(request(2), Instant::now()).unwrap_err(), SubmitError::Stopped);
        mailbox.stop();
        assert!(mailbox.take(true).stop);
    }
}

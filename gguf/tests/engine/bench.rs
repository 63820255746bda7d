//! An engine over a scripted model, its way in, and time as a number.

use std::time::{Duration, Instant};

use friend_gguf::backend::Limits;
use friend_gguf::batcher::{Batcher, Settings, Step};
use friend_gguf::fake::ScriptedBackend;
use friend_gguf::mailbox::Mailbox;
use friend_gguf::request::{Completion, GenerateError, OwnerId, Piece, Prompt, Request, Sampling, Stop, Ticket};

pub const LIMITS: Limits = Limits { batch_tokens: 64, lanes: 8, cells: 2048, context: 256, vocabulary: 257 };

/// An engine, its way in, and a clock.
pub struct Bench {
    pub mailbox: std::sync::Arc<Mailbox>,
    pub batcher: Batcher<ScriptedBackend>,
    pub now: Instant,
    pub steps: Vec<Step>,
}

impl Bench {
    pub fn new(backend: ScriptedBackend) -> Self {
        Self::with(backend, 4)
    }

    pub fn with(backend: ScriptedBackend, slots: usize) -> Self {
        Self::keeping(backend, slots, 0)
    }

    /// With ordinary memory for conversations that lost their lane.
    pub fn keeping(backend: ScriptedBackend, slots: usize, host_bytes: u64) -> Self {
        let settings = Settings {
            slots,
            rows: slots,
            prompts: 1,
            prefixes: 3,
            parallel_rows: 8,
            inter_token_target: Duration::from_millis(10),
            host_bytes,
        };
        let batcher = Batcher::new(backend, settings);
        Self { mailbox: Mailbox::new(100), batcher, now: Instant::now(), steps: Vec::new() }
    }

    pub fn submit(&self, request: Request) -> Ticket {
        self.mailbox.submit(request, self.now).expect("accepted")
    }

    pub fn step(&mut self) -> Step {
        let taken = self.mailbox.take(false);
        taken.jobs.into_iter().for_each(|job| self.batcher.accept(job));
        taken.forget.into_iter().for_each(|owner| self.batcher.forget(owner));
        let step = self.batcher.step(self.now);
        self.now += step.elapsed + Duration::from_micros(1);
        self.steps.push(step);
        self.batcher.check().expect("lanes are conserved");
        let status = self.batcher.status();
        self.mailbox.publish(status, status.queued, self.batcher.outlook(self.now));
        step
    }

    pub fn run(&mut self) {
        for _ in 0..10_000 {
            self.step();
            if self.batcher.is_idle() {
                return;
            }
        }
        panic!("the engine does not come to an end");
    }

    pub fn answer(&mut self, request: Request) -> Completion {
        let mut ticket = self.submit(request);
        self.run();
        outcome(&mut ticket).expect("an answer")
    }
}

pub fn outcome(ticket: &mut Ticket) -> Result<Completion, GenerateError> {
    ticket.done.try_recv().expect("exactly one outcome")
}

pub fn streamed(ticket: &mut Ticket) -> Vec<String> {
    std::iter::from_fn(|| ticket.text.try_recv().ok()).collect()
}

pub fn request(owner: u64, prefix: &str, turns: &[&str]) -> Request {
    Request {
        owner: OwnerId(owner),
        prompt: Prompt {
            prefix: vec![Piece::template(prefix)],
            own: Vec::new(),
            turns: turns.iter().map(|turn| vec![Piece::plain(*turn)]).collect(),
            tail: vec![Piece::template(">>")],
        },
        sampling: Sampling { do_sample: false, ..Sampling::default() },
        stop: Stop { end_of_generation: true, ..Stop::default() },
        min_new_tokens: 0,
        max_new_tokens: 20,
        seed: 1,
        time_limit: Duration::from_secs(60),
    }
}

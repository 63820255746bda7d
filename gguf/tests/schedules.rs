//! Random schedules: whatever users do and whatever fails, every request gets exactly one outcome, nobody starves, the
//! lanes stay whole, and every answer is the one that its prompt would get alone.

use std::time::{Duration, Instant};

use friend_gguf::backend::{DecodeError, Limits, Token};
use friend_gguf::batcher::{Batcher, Settings};
use friend_gguf::fake::{END, ScriptedBackend};
use friend_gguf::mailbox::Mailbox;
use friend_gguf::request::{
    Completion, Finish, GenerateError, OwnerId, Piece, Prompt, Request, Sampling, Stop, SubmitError, Ticket,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use tokio::sync::oneshot::error::TryRecvError;

/// Schedules tried: many where the code is optimised.
const SCHEDULES: u64 = if cfg!(debug_assertions) { 3_000 } else { 100_000 };
/// Steps after which somebody has starved.
const PATIENCE: usize = 4_000;

/// The next token depends on every token before it, so an answer shows whether its lane held exactly its prompt.
fn follows(tokens: &[Token]) -> Token {
    let hash = tokens.iter().fold(0x811c_9dc5_u32, |hash, token| (hash ^ token).wrapping_mul(0x0100_0193));
    match hash >> 16 & 31 {
        letter @ 0..26 => u32::from(b'a') + letter,
        _ => END,
    }
}

/// What a prompt gets alone.
fn alone(request: &Request, dropped: usize) -> (String, Finish) {
    let kept = Prompt { turns: request.prompt.turns[dropped..].to_vec(), ..request.prompt.clone() };
    let mut tokens: Vec<Token> = kept.text().bytes().map(Token::from).collect();
    let mut text = String::new();
    while text.len() < request.max_new_tokens as usize {
        let next = follows(&tokens);
        if next == END {
            return (text, Finish::Stop);
        }
        tokens.push(next);
        text.push(char::from(u8::try_from(next).expect("a letter")));
    }
    (text, Finish::Length)
}

struct Pending {
    ticket: Ticket,
    request: Request,
    /// Why it may end without an answer: it was cancelled, or some batch failed.
    excused: bool,
    shown: String,
}

struct Run {
    random: ChaCha8Rng,
    mailbox: std::sync::Arc<Mailbox>,
    batcher: Batcher<ScriptedBackend>,
    now: Instant,
    pending: Vec<Pending>,
    histories: Vec<Vec<String>>,
    outcomes: usize,
    submitted: usize,
}

impl Run {
    fn new(seed: u64, start: Instant) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let context = random.random_range(48..160);
        let limits = Limits {
            batch_tokens: random.random_range(9..48),
            lanes: random.random_range(2..10),
            cells: context + random.random_range(0..300),
            context,
            vocabulary: 257,
        };
        let settings = Settings {
            slots: random.random_range(1..8),
            rows: random.random_range(1..8),
            prompts: random.random_range(1..4),
            prefixes: random.random_range(0..4),
            parallel_rows: random.random_range(1..9),
            inter_token_target: Duration::from_millis(random.random_range(1..20)),
            host_bytes: if random.random_bool(0.5) { random.random_range(0..4_000) } else { 0 },
        };
        let backend = ScriptedBackend::new(limits).with_script(follows);
        let backend = if seed.is_multiple_of(2) { backend.with_streams() } else { backend };
        let batcher = Batcher::new(backend, settings);
        let mailbox = Mailbox::new(random.random_range(1..12));
        let histories = vec![Vec::new(); random.random_range(1..6)];
        Self { random, mailbox, batcher, now: start, pending: Vec::new(), histories, outcomes: 0, submitted: 0 }
    }

    fn submit(&mut self) {
        let owner = self.random.random_range(0..self.histories.len());
        let words = self.random.random_range(1..24);
        self.histories[owner].push("x".repeat(words));
        let mode = ["mode a.", "mode b, longer.", "other.", ""][self.random.random_range(0..4)];
        let request = Request {
            owner: OwnerId(owner as u64),
            prompt: Prompt {
                prefix: vec![Piece::template(mode)],
                own: Vec::new(),
                turns: self.histories[owner].iter().map(|turn| vec![Piece::plain(turn)]).collect(),
                tail: vec![Piece::template(">>")],
            },
            sampling: Sampling { repetition_penalty: 1.0, do_sample: false, ..Sampling::default() },
            stop: Stop { end_of_generation: true, ..Stop::default() },
            min_new_tokens: 0,
            max_new_tokens: self.random.random_range(1..20),
            seed: 0,
            time_limit: Duration::from_millis(if self.random.random_bool(0.1) { 8 } else { 1_000_000 }),
        };
        match self.mailbox.submit(request.clone(), self.now) {
            Ok(ticket) => {
                self.submitted += 1;
                let excused = request.time_limit < Duration::from_secs(1) || self.batcher.backend().will_fail();
                self.pending.push(Pending { ticket, request, excused, shown: String::new() });
            }
            Err(SubmitError::Busy | SubmitError::Overloaded { .. }) => drop(self.histories[owner].pop()),
            Err(SubmitError::Stopped) => panic!("nobody stopped it"),
        }
    }

    /// One random thing that users, operators or machines do.
    fn happen(&mut self) {
        match self.random.random_range(0..20) {
            0..8 => self.submit(),
            8 if !self.pending.is_empty() => {
                let which = self.random.random_range(0..self.pending.len());
                self.pending[which].ticket.cancel.cancel();
                self.pending[which].excused = true;
            }
            9 if !self.pending.is_empty() => {
                let which = self.random.random_range(0..self.pending.len());
                self.pending[which].ticket.text.close();
                self.pending[which].excused = true;
            }
            10 => {
                let owner = self.random.random_range(0..self.histories.len());
                self.mailbox.forget(OwnerId(owner as u64));
                self.histories[owner].clear();
            }
            11 if self.random.random_bool(0.3) => {
                let failure =
                    if self.random.random_bool(0.5) { DecodeError::NoRoom } else { DecodeError::Failed("x".into()) };
                self.batcher.backend().fail([Some(failure)]);
                self.pending.iter_mut().for_each(|pending| pending.excused = true);
            }
            12 => self.batcher.backend().refuse_copies(1),
            _ => {}
        }
    }

    fn step(&mut self) {
        let taken = self.mailbox.take(false);
        taken.jobs.into_iter().for_each(|job| self.batcher.accept(job));
        taken.forget.into_iter().for_each(|owner| self.batcher.forget(owner));
        let step = self.batcher.step(self.now);
        self.now += step.elapsed + Duration::from_micros(10);
        let status = self.batcher.status();
        self.mailbox.publish(status, status.queued, self.batcher.outlook(self.now));
        for pending in &mut self.pending {
            while let Ok(piece) = pending.ticket.text.try_recv() {
                pending.shown.push_str(&piece);
            }
        }
        for mut pending in std::mem::take(&mut self.pending) {
            match pending.ticket.done.try_recv() {
                Ok(outcome) => {
                    self.outcomes += 1;
                    judge(&pending, outcome);
                }
                Err(TryRecvError::Empty) => self.pending.push(pending),
                Err(TryRecvError::Closed) => panic!("a request ended without an outcome"),
            }
        }
    }
}

fn judge(pending: &Pending, outcome: Result<Completion, GenerateError>) {
    match outcome {
        Ok(answer) => {
            let (text, finish) = alone(&pending.request, answer.usage.dropped_turns as usize);
            assert_eq!((&answer.text, answer.finish), (&text, finish), "{:?}", pending.request);
            assert!(pending.excused || pending.shown == answer.text, "what was shown is what was said");
            assert!(answer.usage.new_tokens <= pending.request.max_new_tokens);
            assert!(answer.usage.reused_tokens < answer.usage.prompt_tokens);
        }
        Err(GenerateError::PromptTooLong { needed, available }) => assert!(needed > available),
        Err(error) => assert!(pending.excused, "nothing excuses {error} for {:?}", pending.request),
    }
}

fn run(seed: u64, start: Instant) -> usize {
    let mut run = Run::new(seed, start);
    for _ in 0..run.random.random_range(5..40) {
        run.happen();
        if run.random.random_bool(0.8) {
            run.step();
            // Whatever is wrong with the lanes stays wrong: every few steps is often enough.
            if run.random.random_bool(0.2) {
                run.batcher.check().expect("lanes are conserved");
            }
        }
    }
    let mut steps = 0;
    while !run.pending.is_empty() || !run.batcher.is_idle() {
        run.step();
        steps += 1;
        assert!(steps < PATIENCE, "seed {seed}: somebody starves");
    }
    run.batcher.check().expect("lanes are conserved");
    assert_eq!(run.outcomes, run.submitted, "exactly one outcome a request");
    run.submitted
}

#[test]
fn every_schedule_ends_well() {
    let start = Instant::now();
    let requests: usize = (0..SCHEDULES).into_par_iter().map(|seed| run(seed, start)).sum();
    assert!(requests as u64 > SCHEDULES, "the schedules ask for something");
}

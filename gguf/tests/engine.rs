//! What the batching engine promises its callers, with a scripted model and time as a number.

use std::time::{Duration, Instant};

use friend_gguf::backend::{DecodeError, Limits};
use friend_gguf::batcher::{Batcher, Settings, Step};
use friend_gguf::fake::{Cost, ScriptedBackend, says};
use friend_gguf::mailbox::Mailbox;
use friend_gguf::request::{
    Completion, Finish, GenerateError, OwnerId, Piece, Prompt, Request, Sampling, Stop, SubmitError, Ticket,
};

const LIMITS: Limits = Limits { batch_tokens: 64, lanes: 8, cells: 2048, context: 256, vocabulary: 257 };

/// An engine, its way in, and a clock.
struct Bench {
    mailbox: std::sync::Arc<Mailbox>,
    batcher: Batcher<ScriptedBackend>,
    now: Instant,
    steps: Vec<Step>,
}

impl Bench {
    fn new(backend: ScriptedBackend) -> Self {
        Self::with(backend, 4)
    }

    fn with(backend: ScriptedBackend, slots: usize) -> Self {
        Self::keeping(backend, slots, 0)
    }

    /// With ordinary memory for conversations that lost their lane.
    fn keeping(backend: ScriptedBackend, slots: usize, host_bytes: u64) -> Self {
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

    fn submit(&self, request: Request) -> Ticket {
        self.mailbox.submit(request, self.now).expect("accepted")
    }

    fn step(&mut self) -> Step {
        let taken = self.mailbox.take(false);
        taken.jobs.into_iter().for_each(|job| self.batcher.accept(job));
        taken.forget.into_iter().for_each(|owner| self.batcher.forget(owner));
        let step = self.batcher.step(self.now);
        self.now += step.elapsed + Duration::from_micros(1);
        self.steps.push(step);
        self.batcher.check().expect("lanes are conserved");
        let status = self.batcher.status();
        self.mailbox.publish(status, status.queued, self.batcher.wait_each());
        step
    }

    fn run(&mut self) {
        for _ in 0..10_000 {
            self.step();
            if self.batcher.is_idle() {
                return;
            }
        }
        panic!("the engine does not come to an end");
    }

    fn answer(&mut self, request: Request) -> Completion {
        let mut ticket = self.submit(request);
        self.run();
        outcome(&mut ticket).expect("an answer")
    }
}

fn outcome(ticket: &mut Ticket) -> Result<Completion, GenerateError> {
    ticket.done.try_recv().expect("exactly one outcome")
}

fn streamed(ticket: &mut Ticket) -> Vec<String> {
    std::iter::from_fn(|| ticket.text.try_recv().ok()).collect()
}

fn request(owner: u64, prefix: &str, turns: &[&str]) -> Request {
    Request {
        owner: OwnerId(owner),
        prompt: Prompt {
            prefix: vec![Piece::template(prefix)],
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

#[test]
fn an_answer_streams_out_and_is_whole() {
    let mut bench = Bench::new(ScriptedBackend::default().with_script(says("hi there")));
    let mut ticket = bench.submit(request(1, "intro.", &["hello."]));
    bench.run();
    let answer = outcome(&mut ticket).unwrap();
    assert_eq!((answer.text.as_str(), answer.finish), ("hi there", Finish::Stop));
    assert_eq!(streamed(&mut ticket).concat(), "hi there");
    assert_eq!((answer.usage.prompt_tokens, answer.usage.new_tokens), (14, 8));
    assert!(answer.usage.time_to_first_token > Duration::ZERO && answer.usage.total > answer.usage.time_to_first_token);
}

#[test]
fn many_users_share_every_batch_and_a_newcomer_joins_at_the_next_step() {
    let mut bench = Bench::new(ScriptedBackend::default().with_script(says("0123456789")));
    let mut tickets: Vec<_> = (0..3).map(|owner| bench.submit(request(owner, "p.", &["x"]))).collect();
    while bench.step().rows < 3 {}
    tickets.push(bench.submit(request(9, "p.", &["late"])));
    let joined = bench.step();
    assert_eq!((joined.rows, joined.prefill), (0, 6), "prefix shared, so only the turn and the tail are computed");
    assert!(!streamed(&mut tickets[3]).is_empty(), "and the first token is there before the others' next");
    assert_eq!(bench.step().rows, 4);
    bench.run();
    for ticket in &mut tickets {
        assert_eq!(outcome(ticket).unwrap().text, "0123456789");
    }
}

#[test]
fn a_prefix_is_computed_once_for_all_users() {
    let mut bench = Bench::new(ScriptedBackend::default());
    let intro = "A long introduction that all share.";
    let mut tickets: Vec<_> = (0..4).map(|owner| bench.submit(request(owner, intro, &["hi."]))).collect();
    bench.run();
    tickets.iter_mut().for_each(|ticket| assert_eq!(outcome(ticket).unwrap().text, "hello"));
    let prefill: usize = bench.steps.iter().map(|step| step.prefill).sum();
    assert_eq!(prefill, intro.len() + 4 * "hi.>>".len());
    let another = bench.answer(request(7, "A long introduction of another kind.", &["hi."]));
    assert_eq!(another.usage.reused_tokens as usize, "A long introduction ".len(), "what prefixes have in common");
}

#[test]
fn the_next_turn_computes_only_what_is_new() {
    let mut bench = Bench::new(ScriptedBackend::default());
    bench.answer(request(1, "intro.", &["hi."]));
    // The template writes the reply behind its opening, as chat templates do.
    let next = bench.answer(request(1, "intro.", &["hi.", ">>hello", "and you?"]));
    assert_eq!(next.usage.reused_tokens as usize, "intro.hi.>>hello".len());
    let rewritten = bench.answer(request(1, "intro.", &["hi.", ">>help", "and you?"]));
    assert_eq!(rewritten.usage.reused_tokens as usize, "intro.hi.>>hel".len(), "where texts differ, the text wins");
}

#[test]
fn another_mode_never_reads_the_old_modes_kv_and_both_lanes_stay() {
    let mut bench = Bench::new(ScriptedBackend::default());
    bench.answer(request(1, "mode A.", &["hi."]));
    let other = bench.answer(request(1, "mode B.", &["hi."]));
    assert_eq!(other.usage.reused_tokens as usize, "mode ".len());
    let back = bench.answer(request(1, "mode A.", &["hi.", "more"]));
    assert_eq!(back.usage.reused_tokens as usize, "mode A.hi.".len());
}

#[test]
fn a_long_history_never_stalls_the_others() {
    let limits = Limits { context: 2000, cells: 8000, batch_tokens: 512, ..LIMITS };
    let cost = Cost { batch: Duration::from_millis(4), token: Duration::from_micros(400) };
    let text = "a".repeat(1500);
    let mut bench = Bench::with(ScriptedBackend::new(limits).with_script(says(&text)).with_cost(cost), 6);
    let sampling = Sampling { repetition_penalty: 1.0, do_sample: false, ..Sampling::default() };
    let talk = |owner| Request { max_new_tokens: 1500, sampling, ..request(owner, "p.", &["hi"]) };
    let _tickets: Vec<_> = (0..4).map(|owner| bench.submit(talk(owner))).collect();
    for _ in 0..40 {
        bench.step();
    }
    let long = "x".repeat(1500);
    let mut late = bench.submit(request(9, "p.", &[&long]));
    let alone = bench.steps.last().unwrap().elapsed;
    let mut gap = Duration::ZERO;
    let mut gaps = Vec::new();
    while streamed(&mut late).is_empty() {
        let step = bench.step();
        gap += step.elapsed;
        if step.rows > 0 {
            assert!(step.rows >= 4, "all who decode go on");
            gaps.push(std::mem::take(&mut gap));
        }
    }
    let worst = gaps.iter().max().unwrap();
    assert!(gaps.len() > 10 && *worst <= alone * 3, "{worst:?} beside {alone:?}");
}

#[test]
fn newcomers_do_not_queue_behind_many_who_decode() {
    // Sixteen talk without a pause. Decoding them alone takes 8.5 ms of a target of 10, and each new prompt as long as 30 rows.
    let cost = Cost { batch: Duration::from_micros(500), token: Duration::from_micros(500) };
    let limits = Limits { lanes: 40, cells: 8000, ..LIMITS };
    let mut bench =
        Bench::with(ScriptedBackend::new(limits).with_script(says("01234567890123456789")).with_cost(cost), 16);
    let mut talking: Vec<(Ticket, usize, bool)> = Vec::new();
    let mut waits = Vec::new();
    let mut tokens = 0;
    for step in 0..3000 {
        while talking.len() < 16 {
            let owner = (step * 16 + talking.len()) as u64;
            talking.push((bench.submit(request(owner, "p.", &[&"x".repeat(28)])), tokens, false));
        }
        tokens += usize::from(bench.step().rows > 0);
        for (ticket, since, began) in &mut talking {
            if !*began && ticket.text.try_recv().is_ok() {
                *began = true;
                waits.push(tokens - *since);
            }
        }
        talking.retain_mut(|(ticket, ..)| ticket.done.try_recv().is_err());
    }
    waits.drain(..waits.len() / 2);
    waits.sort_unstable();
    let waited = waits[waits.len() * 9 / 10];
    assert!(waits.len() > 100 && waited <= 2, "{waited} of the others' tokens for nine in ten of {}", waits.len());
}

#[test]
fn more_decoding_than_rows_take_turns() {
    let backend = ScriptedBackend::default().with_script(says("0123456789"));
    let settings = Settings {
        slots: 6,
        rows: 2,
        prompts: usize::MAX,
        prefixes: 2,
        parallel_rows: 8,
        inter_token_target: Duration::from_millis(10),
        host_bytes: 0,
    };
    let mut bench = Bench::new(ScriptedBackend::default());
    bench.batcher = Batcher::new(backend, settings);
    let mut tickets: Vec<_> = (0..6).map(|owner| bench.submit(request(owner, "p.", &["x"]))).collect();
    bench.run();
    assert!(bench.steps.iter().all(|step| step.rows <= 2));
    tickets.iter_mut().for_each(|ticket| assert_eq!(outcome(ticket).unwrap().text, "0123456789"));
}

#[test]
fn cancelled_and_expired_requests_leave_at_the_next_step() {
    let endless = ScriptedBackend::default().with_script(|_| u32::from(b'a'));
    let mut bench = Bench::with(endless, 2);
    let ask = |owner| Request { max_new_tokens: 200, ..request(owner, "p.", &["x"]) };
    let mut cancelled = bench.submit(ask(1));
    let dropped = bench.submit(ask(2));
    let mut expired = bench.submit(Request { time_limit: Duration::from_millis(1), ..ask(3) });
    bench.step();
    bench.step();
    cancelled.cancel.cancel();
    drop(dropped);
    bench.now += Duration::from_millis(5);
    bench.step();
    assert_eq!(outcome(&mut cancelled), Err(GenerateError::Cancelled));
    assert_eq!(outcome(&mut expired), Err(GenerateError::Expired));
    assert!(bench.batcher.is_idle());
}

#[test]
fn a_reader_that_has_stopped_reading_is_cancelled_and_nobody_waits_for_it() {
    let mut bench = Bench::new(ScriptedBackend::default());
    let mut ticket = bench.submit(request(1, "p.", &["x"]));
    ticket.text.close();
    bench.run();
    assert_eq!(outcome(&mut ticket), Err(GenerateError::Cancelled));
}

#[test]
fn stop_tokens_are_masked_until_the_fewest_tokens_are_there() {
    let newline = |_: &[u32]| u32::from(b'\n');
    let mut bench = Bench::new(ScriptedBackend::default().with_script(newline));
    let stop = Stop { newline: true, ..Stop::default() };
    let answer = bench.answer(Request { min_new_tokens: 3, stop, ..request(1, "p.", &["x"]) });
    assert_eq!((answer.usage.new_tokens, answer.finish), (3, Finish::Stop));
    assert!(!answer.text.contains('\n'));
}

#[test]
fn an_answer_ends_at_its_longest_length() {
    let mut bench = Bench::new(ScriptedBackend::default().with_script(says("0123456789")));
    let answer = bench.answer(Request { max_new_tokens: 4, ..request(1, "p.", &["x"]) });
    assert_eq!((answer.text.as_str(), answer.finish, answer.usage.new_tokens), ("0123", Finish::Length, 4));
}

#[test]
fn idle_lanes_are_evicted_for_newcomers_and_come_back_by_replay() {
    let limits = Limits { lanes: 4, cells: 256, ..LIMITS };
    let mut bench = Bench::with(ScriptedBackend::new(limits), 2);
    for owner in 0..6 {
        bench.answer(request(owner, "intro.", &["hello hello hello."]));
    }
    assert!(bench.batcher.status().evictions >= 3);
    let back = bench.answer(request(0, "intro.", &["hello hello hello.", "again"]));
    assert_eq!((back.text.as_str(), back.usage.reused_tokens), ("hello", 6), "the prefix at least is still there");
}

#[test]
fn a_conversation_given_from_further_back_goes_on_where_its_lane_begins() {
    let mut bench = Bench::new(ScriptedBackend::default());
    bench.answer(request(1, "p.", &["two.", "three.", "four."]));
    // A session that was let go reads more turns from the store than the lane holds.
    let next = bench.answer(request(1, "p.", &["one.", "two.", "three.", "four.", ">>hello", "five."]));
    assert_eq!(next.text, "hello");
    assert_eq!(next.usage.reused_tokens as usize, "p.two.three.four.>>hello".len());
    assert_eq!(next.usage.dropped_turns, 1);
}

/// Six people in turn, on lanes for three of them; then the first goes on.
fn back_after_an_eviction(host_bytes: u64, meanwhile: impl FnOnce(&mut Bench)) -> (Completion, u64) {
    let limits = Limits { lanes: 4, cells: 256, ..LIMITS };
    let mut bench = Bench::keeping(ScriptedBackend::new(limits), 2, host_bytes);
    for owner in 0..6 {
        bench.answer(request(owner, "intro.", &["hello hello hello."]));
    }
    meanwhile(&mut bench);
    let back = bench.answer(request(0, "intro.", &["hello hello hello.", "again"]));
    assert_eq!(back.text, "hello");
    (back, bench.batcher.status().restored)
}

#[test]
fn a_conversation_that_lost_its_lane_comes_back_from_memory() {
    let (back, restored) = back_after_an_eviction(10_000, |_| ());
    assert_eq!((back.usage.reused_tokens as usize, restored), ("intro.hello hello hello.".len(), 1));
}

#[test]
fn where_memory_holds_only_the_newest_the_oldest_is_computed_anew() {
    // A conversation takes 31 bytes of the scripted model, and 4 for each token of its log.
    let (back, restored) = back_after_an_eviction(31 * 5 * 2, |_| ());
    assert_eq!((back.usage.reused_tokens, restored), (6, 0), "the prefix at least is still there");
}

#[test]
fn a_conversation_that_cannot_be_copied_back_is_computed_anew() {
    let (back, restored) = back_after_an_eviction(10_000, |bench| bench.batcher.backend().refuse_copies(9));
    assert_eq!((back.usage.reused_tokens, restored), (6, 0));
}

#[test]
fn a_forgotten_owner_leaves_nothing_in_memory_either() {
    let (back, restored) = back_after_an_eviction(10_000, |bench| {
        let before = bench.batcher.status().host_bytes;
        bench.mailbox.forget(OwnerId(0));
        bench.step();
        assert!(bench.batcher.status().host_bytes < before);
    });
    assert_eq!((back.usage.reused_tokens, restored), (6, 0));
}

#[test]
fn when_cells_are_short_requests_wait_and_all_are_answered() {
    let limits = Limits { lanes: 8, cells: 128, context: 128, ..LIMITS };
    let mut bench = Bench::with(ScriptedBackend::new(limits), 7);
    let turn = "x".repeat(40);
    let mut tickets: Vec<_> = (0..12).map(|owner| bench.submit(request(owner, "intro.", &[&turn]))).collect();
    bench.run();
    tickets.iter_mut().for_each(|ticket| assert_eq!(outcome(ticket).unwrap().text, "hello"));
}

#[test]
fn too_long_a_prompt_and_nonsense_values_fail_alone() {
    let mut bench = Bench::new(ScriptedBackend::default());
    let long = "x".repeat(300);
    let mut too_long = bench.submit(request(1, "p.", &[&long]));
    let mut nonsense = bench.submit(Request { max_new_tokens: 0, ..request(2, "p.", &["x"]) });
    let sampling = Sampling { temperature: f32::NAN, ..Sampling::default() };
    let mut cold = bench.submit(Request { sampling, ..request(3, "p.", &["x"]) });
    let mut fine = bench.submit(request(4, "p.", &["x"]));
    bench.run();
    assert!(matches!(outcome(&mut too_long), Err(GenerateError::PromptTooLong { available: 256, .. })));
    assert!(matches!(outcome(&mut nonsense), Err(GenerateError::Invalid(_))));
    assert!(matches!(outcome(&mut cold), Err(GenerateError::Invalid(_))));
    assert_eq!(outcome(&mut fine).unwrap().text, "hello");
}

#[test]
fn a_failed_batch_fails_its_requests_only_and_the_engine_goes_on() {
    let mut bench = Bench::new(ScriptedBackend::default());
    bench.batcher.backend().fail([None, None, Some(DecodeError::Failed("boom".into()))]);
    let mut hurt = bench.submit(request(1, "p.", &["x"]));
    bench.run();
    assert!(matches!(outcome(&mut hurt), Err(GenerateError::Backend(why)) if why.contains("boom")));
    assert_eq!(bench.answer(request(1, "p.", &["x"])).text, "hello");
}

#[test]
fn a_missing_kv_slot_evicts_and_tries_again() {
    let mut bench = Bench::new(ScriptedBackend::default());
    bench.answer(request(1, "p.", &["x"]));
    bench.batcher.backend().fail([Some(DecodeError::NoRoom)]);
    assert_eq!(bench.answer(request(2, "p.", &["y"])).text, "hello");
}

#[test]
fn a_forgotten_owner_leaves_no_lane_behind() {
    let mut bench = Bench::new(ScriptedBackend::default());
    bench.answer(request(1, "intro.", &["secret."]));
    bench.mailbox.forget(OwnerId(1));
    bench.step();
    let anew = bench.answer(request(1, "intro.", &["secret."]));
    assert_eq!(anew.usage.reused_tokens, 6, "the shared prefix, and nothing of the conversation");
    let mut ticket = bench.submit(request(1, "intro.", &["secret.", "x"]));
    bench.step();
    bench.mailbox.forget(OwnerId(1));
    bench.run();
    assert!(outcome(&mut ticket).is_ok(), "an answer in flight goes on");
    assert_eq!(bench.answer(request(1, "intro.", &["secret."])).usage.reused_tokens, 6);
}

#[test]
fn overload_is_a_value_with_an_estimated_wait() {
    let endless = ScriptedBackend::default().with_script(|_| u32::from(b'a'));
    let mut bench = Bench::with(endless, 1);
    bench.answer(request(0, "p.", &["x"]));
    let _tickets: Vec<_> = (1..=100).map(|owner| bench.submit(request(owner, "p.", &["x"]))).collect();
    let refused = bench.mailbox.submit(request(500, "p.", &["x"]), bench.now).unwrap_err();
    assert!(matches!(refused, SubmitError::Overloaded { queued: 100, wait } if wait > Duration::from_millis(100)));
}

#[test]
fn the_same_seed_gives_the_same_text_and_another_seed_another() {
    let text = |seed| {
        let mut bench = Bench::new(ScriptedBackend::default().with_script(|_| 256));
        let sampling = Sampling { temperature: 40.0, top_k: 0, top_p: 1.0, ..Sampling::default() };
        let request = Request { sampling, seed, stop: Stop::default(), ..request(1, "p.", &["x"]) };
        bench.answer(request).text
    };
    assert_eq!(text(1), text(1));
    assert_ne!(text(1), text(2));
}

//! What requests leave in the lanes for those that follow, and what they must not: neither what was to be forgotten, nor what
//! is spoilt, nor less than was there before.

use friend_gguf::backend::{LaneId, Limits};
use friend_gguf::fake::ScriptedBackend;
use friend_gguf::request::{GenerateError, OwnerId, Request};

use crate::bench::*;

/// The lane that holds just this text.
fn lane_of(bench: &mut Bench, text: &str) -> LaneId {
    let tokens: Vec<u32> = text.bytes().map(u32::from).collect();
    let lanes = u16::try_from(LIMITS.lanes).expect("few lanes");
    let backend = bench.batcher.backend();
    (0..lanes).map(LaneId).find(|lane| *backend.lane(*lane) == tokens[..]).expect("a lane")
}

#[test]
fn a_request_that_waits_while_its_owner_is_forgotten_is_answered_and_leaves_nothing() {
    let mut bench = Bench::keeping(ScriptedBackend::new(LIMITS), 1, 10_000);
    let mut first = bench.submit(request(1, "intro.", &["hi."]));
    bench.step();
    let mut second = bench.submit(request(2, "intro.", &["secret."]));
    bench.step();
    let status = bench.batcher.status();
    assert_eq!((status.active, status.queued), (1, 1));
    bench.mailbox.forget(OwnerId(2));
    bench.run();
    assert_eq!(outcome(&mut first).unwrap().text, "hello");
    assert_eq!(outcome(&mut second).unwrap().text, "hello");
    let next = bench.answer(request(2, "intro.", &["secret.", ">>hello", "x"]));
    assert_eq!((next.usage.reused_tokens, bench.batcher.status().restored), (6, 0), "the shared prefix alone");
    // What is said from then on is kept again.
    let later = bench.answer(request(2, "intro.", &["secret.", ">>hello", "x", ">>hello", "y"]));
    assert_eq!(later.usage.reused_tokens as usize, "intro.secret.>>hellox>>hello".len());
}

#[test]
fn a_request_that_must_wait_for_cells_costs_nobody_a_conversation() {
    let limits = Limits { cells: 256, ..LIMITS };
    let endless = ScriptedBackend::new(limits).with_script(|_| u32::from(b'a'));
    let mut bench = Bench::with(endless, 4);
    let ask =
        |owner, prefix: &str, turn: &str, max_new_tokens| Request { max_new_tokens, ..request(owner, prefix, &[turn]) };
    bench.answer(ask(1, "intro.", "hi.", 5));
    let mut talkers = [2, 3].map(|owner| bench.submit(ask(owner, "intro.", "x", 80)));
    while bench.batcher.status().active < 2 {
        bench.step();
    }
    // The talkers leave 75 of 256 cells, and 9 are an idle conversation's.
    let before = bench.batcher.status().evictions;
    let mut oversized = bench.submit(ask(4, "other mode.", &"y".repeat(80), 20));
    for _ in 0..20 {
        bench.step();
        let status = bench.batcher.status();
        assert_eq!((status.active, status.queued, status.evictions), (2, 1, before));
    }
    let newcomer = bench.answer(ask(5, "intro.", "hi.", 5));
    assert_eq!(newcomer.usage.reused_tokens, 6, "the whole prefix");
    talkers.iter_mut().chain([&mut oversized]).for_each(|ticket| drop(outcome(ticket).expect("an answer")));
}

#[test]
fn a_conversation_without_usable_kv_fails_once_and_is_computed_anew() {
    let mut bench = Bench::new(ScriptedBackend::new(LIMITS));
    bench.answer(request(1, "intro.", &["hi."]));
    let lane = lane_of(&mut bench, "intro.hi.>>hello");
    bench.batcher.backend().spoil(lane);
    let next = || request(1, "intro.", &["hi.", ">>hello", "more"]);
    let mut hurt = bench.submit(next());
    bench.run();
    assert!(matches!(outcome(&mut hurt), Err(GenerateError::Backend(why)) if why.contains("no usable logits")));
    assert_eq!(bench.answer(next()).text, "hello");
}

#[test]
fn a_prefix_without_usable_kv_fails_one_person_and_no_other_of_any_mode() {
    let mut bench = Bench::new(ScriptedBackend::new(LIMITS));
    bench.answer(request(1, "mode A.", &["hi."]));
    let lane = lane_of(&mut bench, "mode A.");
    bench.batcher.backend().spoil(lane);
    // Its prefix begins with the other's tokens, and with their KV.
    bench.answer(request(2, "mode B.", &["hi."]));
    let lane = lane_of(&mut bench, "mode B.");
    bench.batcher.backend().spoil(lane);
    let mut hurt = bench.submit(request(3, "mode B.", &["hi."]));
    bench.run();
    assert!(matches!(outcome(&mut hurt), Err(GenerateError::Backend(_))));
    for (owner, mode) in [(3, "mode B."), (4, "mode A."), (5, "mode B."), (6, "mode A.")] {
        assert_eq!(bench.answer(request(owner, mode, &["hi."])).text, "hello");
    }
}

#[test]
fn those_who_took_over_a_spoilt_prefix_fail_and_nobody_after_them() {
    let mut bench = Bench::new(ScriptedBackend::new(LIMITS));
    bench.answer(request(1, "intro.", &["hi."]));
    let lane = lane_of(&mut bench, "intro.");
    bench.batcher.backend().spoil(lane);
    let mut hurt: Vec<_> = (2..6).map(|owner| bench.submit(request(owner, "intro.", &["hi."]))).collect();
    bench.run();
    hurt.iter_mut().for_each(|ticket| assert!(matches!(outcome(ticket), Err(GenerateError::Backend(_)))));
    assert_eq!(bench.answer(request(6, "intro.", &["hi."])).text, "hello");
}

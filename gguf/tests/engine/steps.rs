//! Which prompts and tokens each step computes.

use std::time::Duration;

use friend_gguf::backend::Limits;
use friend_gguf::batcher::{Batcher, Settings};
use friend_gguf::fake::{Cost, ScriptedBackend, says};
use friend_gguf::request::{Request, Sampling, Ticket};

use crate::bench::*;

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
fn prompts_between_those_who_decode_come_along_for_nothing() {
    // Lanes 1 to 5: the third ends early, and whoever takes his lane is between the others.
    let prefill = |backend: ScriptedBackend| {
        let mut bench = Bench::with(backend.with_script(says("0123456789abcdefghij")), 5);
        let talk = |owner| request(owner, "p.", &["x"]);
        let tickets: Vec<_> = (0..5).map(|owner| bench.submit(talk(owner))).collect();
        while bench.step().rows < 5 {}
        tickets[2].cancel.cancel();
        bench.step();
        let text = "y".repeat(150);
        let mut late = bench.submit(request(2, "p.", &[&text]));
        let steps = bench.steps.len();
        while streamed(&mut late).is_empty() {
            bench.step();
        }
        let both = bench.steps[steps..].iter().filter(|step| step.rows > 0 && step.prefill > 0);
        both.map(|step| (step.rows, step.prefill)).collect::<Vec<_>>()
    };
    assert!(prefill(ScriptedBackend::new(LIMITS)).is_empty());
    let along = prefill(ScriptedBackend::new(LIMITS).with_streams());
    assert!(!along.is_empty() && along.iter().all(|step| *step == (4, 1)), "{along:?}");
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
fn many_who_come_at_once_begin_to_answer_one_by_one() {
    let limits = Limits { lanes: 40, cells: 8000, ..LIMITS };
    let mut bench = Bench::with(ScriptedBackend::new(limits).with_script(says("01234567890123456789")), 12);
    let mut first = bench.submit(request(99, "p.", &["x"]));
    while streamed(&mut first).is_empty() {
        bench.step();
    }
    let _tickets: Vec<_> = (0..10).map(|owner| bench.submit(request(owner, "p.", &["hello there"]))).collect();
    let mut rows = Vec::new();
    while rows.last().is_none_or(|rows| *rows < 11) {
        rows.extend(Some(bench.step().rows).filter(|rows| *rows > 0));
    }
    assert!(rows.windows(2).all(|pair| pair[1] <= pair[0] + 1), "{rows:?}");
    bench.run();
}

//! What the batching engine promises its callers, with a scripted model and time as a number.

mod bench;
mod left_behind;
mod steps;

use std::time::Duration;

use friend_gguf::backend::{DecodeError, Limits};
use friend_gguf::fake::{ScriptedBackend, says};
use friend_gguf::request::{Completion, Finish, GenerateError, OwnerId, Piece, Request, Sampling, Stop, SubmitError};

use crate::bench::*;

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
fn what_is_told_of_one_person_is_read_by_them_alone_and_a_new_fact_costs_no_prefix() {
    let mut bench = Bench::new(ScriptedBackend::default());
    let told = |owner, own: &str| {
        let mut request = request(owner, "intro.", &["hi."]);
        request.prompt.own = vec![Piece::plain(own)];
        request
    };
    bench.answer(told(1, "[Nadia]"));
    let again = bench.answer(told(1, "[Nadia]"));
    assert_eq!(
        again.usage.reused_tokens as usize,
        "intro.[Nadia]hi.>".len(),
        "all but the token that is always computed"
    );
    let another = bench.answer(told(2, "[Bruno]"));
    assert_eq!(another.usage.reused_tokens as usize, "intro.".len());
    let more = bench.answer(told(1, "[Nadia; Bruno]"));
    assert_eq!(more.usage.reused_tokens as usize, "intro.[Nadia".len());
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
fn a_conversation_that_goes_on_is_tokenised_where_it_is_new() {
    let mut bench = Bench::new(ScriptedBackend::default());
    bench.answer(request(1, "p.", &["one."]));
    let before = bench.batcher.backend().tokenised();
    bench.answer(request(1, "p.", &["one.", "hello", "two."]));
    assert_eq!(bench.batcher.backend().tokenised() - before, 2, "the answer and the new message");
    bench.mailbox.forget(OwnerId(1));
    bench.step();
    bench.answer(request(1, "p.", &["one."]));
    assert_eq!(
        bench.batcher.backend().tokenised() - before,
        5,
        "prefix, message and tail: nothing was kept of what was forgotten"
    );
}

#[test]
fn who_is_forgotten_while_waiting_leaves_no_words_behind() {
    let mut bench = Bench::with(ScriptedBackend::default(), 1);
    let _first = bench.submit(request(1, "p.", &["x"]));
    bench.step();
    let _second = bench.submit(request(2, "p.", &["secret."]));
    bench.step();
    bench.mailbox.forget(OwnerId(2));
    bench.run();
    let before = bench.batcher.backend().tokenised();
    bench.answer(request(3, "p.", &["secret."]));
    assert_eq!(bench.batcher.backend().tokenised() - before, 3, "prefix, message and tail");
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
fn under_more_requests_than_can_be_answered_in_time_those_accepted_are_answered() {
    let endless = ScriptedBackend::default().with_script(|_| u32::from(b'a'));
    let mut bench = Bench::with(endless, 1);
    bench.answer(request(0, "p.", &["x"]));
    let begun = bench.now;
    bench.answer(request(0, "p.", &["y"]));
    let time_limit = (bench.now - begun) * 5;
    let mut accepted = Vec::new();
    let mut refused = 0;
    for owner in 1..400 {
        match bench.mailbox.submit(Request { time_limit, ..request(owner, "p.", &["x"]) }, bench.now) {
            Ok(ticket) => accepted.push(ticket),
            Err(error) => {
                assert!(matches!(error, SubmitError::Overloaded { .. }), "{error}");
                refused += 1;
            }
        }
        // Four come in the time of one answer.
        for _ in 0..5 {
            bench.step();
        }
    }
    bench.run();
    let answers = accepted.iter_mut().map(|ticket| ticket.done.try_recv());
    let answered = answers.filter(|outcome| matches!(outcome, Ok(Ok(_)))).count();
    assert!(refused > 200 && accepted.len() > 60, "{refused} refused, {} accepted", accepted.len());
    assert!(answered * 10 >= accepted.len() * 9, "{answered} of {} accepted were answered", accepted.len());
}

#[test]
fn who_waits_is_told_of_it_before_any_answer_has_ended() {
    let endless = ScriptedBackend::default().with_script(|_| u32::from(b'a'));
    let mut bench = Bench::with(endless, 1);
    let first = bench.submit(request(1, "p.", &["x"]));
    bench.step();
    let second = bench.submit(request(2, "p.", &["x"]));
    assert_eq!((first.wait, second.wait), (Duration::ZERO, Duration::ZERO), "nobody is ahead in the queue");
    for _ in 0..5 {
        bench.step();
    }
    let third = bench.submit(request(3, "p.", &["x"]));
    assert!(third.wait >= Duration::from_millis(5), "five steps of a millisecond were not enough: {:?}", third.wait);
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

#[test]
fn of_those_who_come_within_a_second_whoever_was_served_less_goes_first() {
    let mut bench = Bench::with(ScriptedBackend::default(), 1);
    for _ in 0..3 {
        bench.answer(request(1, "p.", &["x"]));
    }
    let mut often = bench.submit(request(1, "p.", &["y"]));
    bench.now += Duration::from_millis(5);
    let mut seldom = bench.submit(request(2, "p.", &["x"]));
    while seldom.done.try_recv().is_err() {
        bench.step();
    }
    assert!(often.done.try_recv().is_err(), "who was answered often waits");
    bench.run();
    assert!(outcome(&mut often).is_ok());
}

//! Typing and previews: what may be lost, and must not stand in the way of what may not.

use super::*;

#[test]
fn typing_is_repeated_until_it_is_turned_off() {
    in_virtual_time(|| async {
        let bench = Bench::new();
        let running = bench.start();
        running.outbox.send(Typing { chat: ANN, topic: None, on: true }).await.unwrap();
        running.outbox.send(Typing { chat: ANN, topic: None, on: true }).await.unwrap();
        pass_s(9).await;
        running.outbox.send(Typing { chat: ANN, topic: None, on: false }).await.unwrap();
        pass_s(60).await;
        let typed = bench.messenger.calls().iter().filter(|(_, call)| *call == Call::Typing(ANN, None)).count();
        assert_eq!(typed, 3, "at 0, 4 and 8 s");
        running.outbox.send(Typing { chat: ANN, topic: None, on: true }).await.unwrap();
        pass_s(1_000).await;
        let typed = bench.messenger.calls().len() - typed;
        assert_eq!(typed, 45, "forgotten typing ends after three minutes");
    });
}

#[test]
fn typing_that_is_turned_on_again_lasts_longer() {
    in_virtual_time(|| async {
        let bench = Bench::new();
        let running = bench.start();
        for _ in 0..2 {
            running.outbox.send(Typing { chat: ANN, topic: None, on: true }).await.unwrap();
            pass_s(100).await;
        }
        pass_s(1_000).await;
        assert_eq!(bench.messenger.calls().len(), 70, "three minutes after the second time");
    });
}

#[test]
fn the_latest_preview_wins_and_none_comes_after_the_message() {
    in_virtual_time(|| async {
        let bench = Bench::new();
        let running = bench.start();
        let show = |chat, text: &str| Preview { chat, topic: Some(7), draft_id: 9, text: text.to_owned() };
        for text in ["I", "I am", "I am here"] {
            running.outbox.send(show(ANN, text)).await.unwrap();
        }
        running.outbox.send(show(GROUP, "groups have no drafts")).await.unwrap();
        pass(Duration::from_millis(1_500)).await;
        running.outbox.send(show(ANN, "I am here for")).await.unwrap();
        bench.answer(ANN, &["I am here for you."]).await;
        running.wake(ANN).await;
        pass_s(10).await;
        let calls: Vec<Call> = bench.messenger.calls().into_iter().map(|(_, call)| call).collect();
        let draft = |text: &str| Call::Draft(ANN, Some(7), 9, text.to_owned());
        assert_eq!(calls[..2], [draft("I"), draft("I am here")]);
        assert!(matches!(calls[2..], [Call::Send(ANN, _)]), "{calls:?}");
    });
}

#[test]
fn a_refused_preview_is_dropped_and_delays_nothing() {
    in_virtual_time(|| async {
        let bench = Bench::new();
        bench.messenger.fail_drafts([ApiError::RetryAfter(Duration::from_secs(30))]);
        let running = bench.start();
        running.outbox.send(Preview { chat: ANN, topic: None, draft_id: 9, text: "I".to_owned() }).await.unwrap();
        bench.answer(ANN, &["I see."]).await;
        running.wake(ANN).await;
        pass_s(1).await;
        assert_eq!(bench.messenger.texts(ANN), ["I see."]);
        assert_eq!(bench.counters.previews.load(Relaxed), 0);
    });
}

#[test]
fn a_message_lets_a_preview_on_its_way_arrive_first_but_not_for_long() {
    for (draft_ms, sent_ms) in [(100, 100), (5_000, 300)] {
        in_virtual_time(|| async {
            let bench = Bench::new();
            bench.messenger.draft_time(Duration::from_millis(draft_ms));
            let running = bench.start();
            running.outbox.send(Preview { chat: ANN, topic: None, draft_id: 9, text: "I s".to_owned() }).await.unwrap();
            bench.answer(ANN, &["I see."]).await;
            running.wake(ANN).await;
            pass_s(1).await;
            assert_eq!(
                bench.times(ANN).iter().map(|at| (at * 1000.0).round()).collect::<Vec<_>>(),
                [f64::from(sent_ms)]
            );
        });
    }
}

#[test]
fn a_chat_that_has_to_wait_is_shown_nothing_meanwhile() {
    in_virtual_time(|| async {
        let bench = Bench::new();
        bench.messenger.fail_sends(Some(ANN), [ApiError::RetryAfter(Duration::from_secs(30))]);
        bench.answer(ANN, &["I see."]).await;
        let running = bench.start();
        pass_s(1).await;
        running.outbox.send(Typing { chat: ANN, topic: None, on: true }).await.unwrap();
        running.outbox.send(Preview { chat: ANN, topic: None, draft_id: 9, text: "And".to_owned() }).await.unwrap();
        pass_s(20).await;
        assert_eq!(bench.messenger.calls().len(), 1, "each call would make the wait longer");
        pass_s(20).await;
        let calls = bench.messenger.calls();
        assert!(calls.iter().any(|(_, call)| *call == Call::Typing(ANN, None)), "{calls:?}");
        assert_eq!(bench.messenger.texts(ANN), ["I see."; 2]);
    });
}

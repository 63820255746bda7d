//! Sends of which nobody knows whether they arrived.

use super::*;

#[test]
fn a_send_without_a_clear_answer_is_repeated_once_and_only_once() {
    in_virtual_time(|| async {
        let bench = Bench::new();
        bench.answer(ANN, &["maybe", "next"]).await;
        let unclear = || ApiError::Ambiguous("cut".to_owned());
        bench.messenger.fail_sends(None, [unclear(), unclear()]);
        let _running = bench.start();
        pass_s(60).await;
        assert_eq!(bench.messenger.texts(ANN), ["maybe", "maybe", "next"]);
        assert_eq!(bench.left(), [OutState::Ambiguous]);
    });
}

#[test]
fn certain_failures_do_not_use_up_the_one_repetition() {
    in_virtual_time(|| async {
        let bench = Bench::new();
        bench.answer(ANN, &["maybe"]).await;
        let refused = || ApiError::Unreachable("refused".to_owned());
        let unclear = || ApiError::Ambiguous("cut".to_owned());
        bench.messenger.fail_sends(None, [refused(), refused(), unclear(), refused()]);
        let _running = bench.start();
        pass_s(60).await;
        assert_eq!(bench.messenger.texts(ANN).len(), 5);
        assert!(bench.left().is_empty());
    });
}

#[test]
fn policy_mark_never_sends_twice() {
    in_virtual_time(|| async {
        let mut bench = Bench::new();
        bench.settings.ambiguous = AmbiguousSend::Mark;
        bench.answer(ANN, &["maybe", "next"]).await;
        bench.messenger.fail_sends(None, [ApiError::Ambiguous("cut".to_owned())]);
        let _running = bench.start();
        pass_s(60).await;
        assert_eq!(bench.messenger.texts(ANN), ["maybe", "next"]);
        assert_eq!(bench.left(), [OutState::Ambiguous]);
    });
}

#[test]
fn the_one_repetition_is_kept_until_the_server_answers() {
    in_virtual_time(|| async {
        let bench = Bench::new();
        bench.answer(ANN, &["maybe", "next"]).await;
        let unclear = || ApiError::Ambiguous("HTTP 502".to_owned());
        bench.messenger.fail_sends(None, [unclear()]);
        bench.messenger.fail_typing([unclear(), ApiError::Unreachable("refused".to_owned()), unclear()]);
        let _running = bench.start();
        pass_s(60).await;
        assert_eq!(bench.messenger.texts(ANN), ["maybe", "maybe", "next"]);
        assert!(bench.left().is_empty());
    });
}

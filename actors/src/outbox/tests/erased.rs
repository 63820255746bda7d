//! What is erased while it waits is not sent.

use super::*;

#[test]
fn a_row_that_is_erased_while_it_waits_is_not_sent() {
    in_virtual_time(|| async {
        let bench = Bench::new();
        bench.answer(ANN, &["my secret"]).await;
        bench.messenger.fail_sends(Some(ANN), [ApiError::RetryAfter(Duration::from_secs(10))]);
        let running = bench.start();
        pass_s(1).await;
        bench.store.erase(BOT, ANN, i64::MAX).await.unwrap();
        bench.answer(ANN, &["all forgotten"]).await;
        running.wake(ANN).await;
        pass_s(60).await;
        assert_eq!(bench.messenger.texts(ANN), ["my secret", "all forgotten"], "refused once, then erased");
        assert!(bench.times(ANN)[1] >= 10.0);
    });
}

#[test]
fn a_row_that_is_erased_while_it_waits_for_a_permit_is_not_sent() {
    in_virtual_time(|| async {
        let mut bench = Bench::new();
        bench.settings.concurrent = 1;
        bench.messenger.send_time(Duration::from_secs(20));
        bench.answer(BOB, &["a slow one"]).await;
        let running = bench.start();
        pass_s(1).await;
        bench.answer(ANN, &["my secret"]).await;
        running.wake(ANN).await;
        pass_s(1).await;
        bench.store.erase(BOT, ANN, i64::MAX).await.unwrap();
        bench.answer(ANN, &["all forgotten"]).await;
        pass_s(60).await;
        assert_eq!(bench.messenger.texts(ANN), ["all forgotten"]);
    });
}

#[test]
fn a_row_that_is_erased_while_it_waits_for_the_chats_pace_is_not_sent() {
    in_virtual_time(|| async {
        let bench = Bench::new();
        bench.answer(ANN, &["1", "2", "3", "my secret"]).await;
        let _running = bench.start();
        pass(Duration::from_millis(500)).await;
        bench.store.erase(BOT, ANN, i64::MAX).await.unwrap();
        pass_s(60).await;
        assert_eq!(bench.messenger.texts(ANN), ["1", "2", "3"]);
    });
}

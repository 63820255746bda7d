//! Virtual time for tests with actors: tokio's clock stands still while anything can run, then leaps to the next timer.

use std::future::Future;
use std::time::Duration;

use actix::System;

/// Runs a test in its own actor system on a paused clock. All actors end with it.
pub(crate) fn in_virtual_time<F: Future>(test: impl FnOnce() -> F) -> F::Output {
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_time().start_paused(true).build().expect("a runtime without I/O can always be made")
    };
    System::with_tokio_rt(runtime).block_on(async { test().await })
}

/// Lets virtual time pass.
pub(crate) async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

/// Lets virtual time pass, in seconds.
pub(crate) async fn pass_s(seconds: u64) {
    pass(Duration::from_secs(seconds)).await;
}

//! The end of commands that have nothing to put in order: at Ctrl-C or SIGTERM they end at once.
//!
//! Without a handler the system's default would do, but not in a container: its first process hears no signal that it does not
//! handle.

use std::io;
use std::thread;

use friend_gguf::llama::end_process;
use tokio::signal::unix::{SignalKind, signal};

/// From now on Ctrl-C and SIGTERM end the process with 130, whatever it does. What has arrived of a download stays, to go on
/// with; what a conversion leaves goes before the next one.
///
/// # Errors
/// When the system gives no thread, or no handler.
pub fn end_at_signal() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let (mut interrupt, mut terminate) = {
        let _within = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    // A thread of its own: the command's may compute for minutes without a look at anything else.
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
        end_process(130);
    })?;
    Ok(())
}

//! The end of a process in which llama.cpp still computes.

use std::io::Write as _;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// How long the end waits for what is still to be written: another thread may hold standard output for as long as it lives.
const FLUSH: Duration = Duration::from_millis(200);

/// Ends the process at once. An ordinary end runs the destructors of C++ libraries last, which take away what llama.cpp's threads
/// compute with: a process that loads a model meanwhile may die of a signal instead of ending with its code.
pub fn end_process(code: u8) -> ! {
    let (done, flushed) = mpsc::sync_channel(1);
    let flush = move || {
        // Nobody is left to whom it could be told that these cannot be written.
        let _ = std::io::stdout().flush();
        let _ = std::io::stderr().flush();
        let _ = done.send(());
    };
    if thread::Builder::new().spawn(flush).is_ok() {
        let _ = flushed.recv_timeout(FLUSH);
    }
    // SAFETY: it takes any code, and does not return.
    unsafe { libc::_exit(i32::from(code)) }
}

//! The end of a process in which llama.cpp still computes.

use std::io::Write as _;

/// Ends the process at once. An ordinary end runs the destructors of C++ libraries last, which take away what llama.cpp's threads
/// compute with: a process that loads a model meanwhile may die of a signal instead of ending with its code.
pub fn end_process(code: u8) -> ! {
    // Nobody is left to whom it could be told that these cannot be written.
    let _ = std::io::stdout().flush();
    let _ = std::io::stderr().flush();
    // SAFETY: it takes any code, and does not return.
    unsafe { libc::_exit(i32::from(code)) }
}

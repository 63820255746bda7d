//! What must be set before the native libraries load.

/// Set in the second life of the process.
const MARKER: &str = "AI_FRIEND_REEXECUTED";
/// How OpenMP's threads wait at a barrier.
const POLICY: &str = "OMP_WAIT_POLICY";

/// Starts the process again, once, with OpenMP's threads sleeping at barriers instead of spinning.
///
/// A spinning barrier loses most of its speed as soon as another process wants a core (measured: 146 tokens/s against
/// 254 with one busy loop beside two threads). libgomp reads the variable when it loads, before `main`, so setting it
/// later does nothing. Call this first in `main`. It returns where nothing has to be done: the user has chosen a
/// policy, this is the second life, or the system cannot start the process again.
pub fn reexec_with_passive_wait() {
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::process::CommandExt;

        if [MARKER, POLICY, "GOMP_SPINCOUNT"].iter().any(|name| std::env::var_os(name).is_some()) {
            return;
        }
        let mut arguments = std::env::args_os();
        let name = arguments.next().unwrap_or_default();
        let error = std::process::Command::new("/proc/self/exe")
            .arg0(name)
            .args(arguments)
            .env(MARKER, "1")
            .env(POLICY, "PASSIVE")
            .exec();
        tracing::debug!(%error, "could not start again with passive OpenMP barriers");
    }
}

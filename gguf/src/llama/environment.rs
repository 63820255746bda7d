//! What must be set before the native libraries load.

/// Set in the second life of the process.
const MARKER: &str = "AI_FRIEND_REEXECUTED";
/// ONNX Runtime's official builds report to their maker unless this is set before they load; its API switches that off too
/// late.
pub const NO_TELEMETRY: &str = "ORT_DISABLE_TELEMETRY";

/// Starts the process again, once, with an environment in which ONNX Runtime reports nothing to anybody.
///
/// The library reads the variable when it loads, before `main`, so setting it later does nothing. Call this first in `main`.
/// It returns where nothing has to be done: it is set, this is the second life, or the system cannot start the process
/// again. How OpenMP's threads wait is left as it is: [`crate::team`] deals with busy neighbours.
pub fn reexec_with_quiet_libraries() {
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::process::CommandExt;

        let set = |name: &str| std::env::var_os(name).is_some();
        if set(MARKER) || set(NO_TELEMETRY) {
            return;
        }
        let mut arguments = std::env::args_os();
        let name = arguments.next().unwrap_or_default();
        let mut again = std::process::Command::new("/proc/self/exe");
        again.arg0(name).args(arguments).env(MARKER, "1").env(NO_TELEMETRY, "1");
        let error = again.exec();
        tracing::debug!(%error, "could not start again with another environment");
    }
}

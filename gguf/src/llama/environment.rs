//! What must be set before the native libraries load.

/// Set in the second life of the process.
const MARKER: &str = "AI_FRIEND_REEXECUTED";
/// How OpenMP's threads wait at a barrier.
const POLICY: &str = "OMP_WAIT_POLICY";
/// ONNX Runtime's official builds report to their maker unless this is set before they load; its API switches that off too
/// late.
pub const NO_TELEMETRY: &str = "ORT_DISABLE_TELEMETRY";

/// Starts the process again, once, with an environment in which the native libraries behave: OpenMP's threads sleep at
/// barriers instead of spinning, and ONNX Runtime reports nothing to anybody.
///
/// A spinning barrier loses most of its speed as soon as another process wants a core (measured: 146 tokens/s against
/// 254 with one busy loop beside two threads). The libraries read the variables when they load, before `main`, so setting
/// them later does nothing. Call this first in `main`. It returns where nothing has to be done: all is set, this is the
/// second life, or the system cannot start the process again.
pub fn reexec_with_quiet_libraries() {
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::process::CommandExt;

        let set = |name: &str| std::env::var_os(name).is_some();
        let waits_as_wished = set(POLICY) || set("GOMP_SPINCOUNT");
        if set(MARKER) || (waits_as_wished && set(NO_TELEMETRY)) {
            return;
        }
        let mut arguments = std::env::args_os();
        let name = arguments.next().unwrap_or_default();
        let mut again = std::process::Command::new("/proc/self/exe");
        again.arg0(name).args(arguments).env(MARKER, "1");
        if !waits_as_wished {
            again.env(POLICY, "PASSIVE");
        }
        if !set(NO_TELEMETRY) {
            again.env(NO_TELEMETRY, "1");
        }
        let error = again.exec();
        tracing::debug!(%error, "could not start again with another environment");
    }
}

//! What this machine has left: disk and memory.

use std::path::Path;

/// Bytes that this user may still write on the disk of a folder; of its nearest existing parent, if it is not there yet.
/// `None` where the system does not say.
pub fn free(folder: &Path) -> Option<u64> {
    let existing = folder.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("."));
    let about = rustix::fs::statvfs(existing).ok()?;
    about.f_bavail.checked_mul(about.f_frsize)
}

/// Bytes of memory that a new process could have: what the system calls available, within the container's limit.
pub fn memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    let number = |path: &str| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let limit = number("/sys/fs/cgroup/memory.max");
    let used = number("/sys/fs/cgroup/memory.current").unwrap_or(0);
    let left = limit.map_or(u64::MAX, |limit| limit.saturating_sub(used));
    Some((kilobytes * 1024).min(left))
}

/// A size as people read it.
pub fn human(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{:.0} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.0} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

//! What this machine's disk has left.

use std::path::Path;

/// Bytes that this user may still write on the disk of a folder; of its nearest existing parent, if it is not there yet.
/// `None` where the system does not say.
pub fn free(folder: &Path) -> Option<u64> {
    let existing = folder.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("."));
    let about = rustix::fs::statvfs(existing).ok()?;
    about.f_bavail.checked_mul(about.f_frsize)
}

/// A size as people read it.
pub fn human(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{:.0} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.0} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

//! What the Linux control groups around this process (a container's, a systemd unit's) leave it of their memory.
//!
//! A group's memory that can be had is its limit less its working set, as Kubernetes' kubelet counts one: what it uses without the
//! file pages that nobody has asked for lately. A model that was just downloaded or converted fills a group with such pages up to its
//! limit. Sources: the kernel's `Documentation/admin-guide/cgroup-v2.rst` and `cgroup-v1/memory.rst`.

use std::fs;
use std::path::Path;

/// Where both versions are mounted by custom.
const MOUNT: &str = "/sys/fs/cgroup";

/// Bytes that the tightest of the groups around this process leaves. `None` where none has a limit, or the system has no groups.
pub fn left() -> Option<u64> {
    left_in(Path::new(MOUNT), &fs::read_to_string("/proc/self/cgroup").ok()?)
}

/// The names of the files of one version.
struct Files {
    limit: &'static str,
    used: &'static str,
    /// The row of `memory.stat` with the file pages not asked for lately.
    idle: &'static str,
}

const V2: Files = Files { limit: "memory.max", used: "memory.current", idle: "inactive_file" };
const V1: Files = Files { limit: "memory.limit_in_bytes", used: "memory.usage_in_bytes", idle: "total_inactive_file" };

/// `groups` is the text of `/proc/self/cgroup`: a line `number:controllers:path` for each hierarchy, without controllers for version 2.
fn left_in(mount: &Path, groups: &str) -> Option<u64> {
    let hierarchies = groups.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        match controllers {
            "" => Some((mount.to_owned(), V2, path)),
            of if of.split(',').any(|controller| controller == "memory") => Some((mount.join("memory"), V1, path)),
            _ => None,
        }
    });
    hierarchies
        .filter_map(|(root, files, path)| {
            // The path may be the host's, of which only a part is mounted here: groups that are not seen are passed over.
            let own = root.join(path.trim_start_matches('/'));
            own.ancestors()
                .take_while(|group| group.starts_with(&root))
                .filter_map(|group| left_of(group, &files))
                .min()
        })
        .min()
}

fn left_of(group: &Path, files: &Files) -> Option<u64> {
    let number = |name: &str| fs::read_to_string(group.join(name)).ok()?.trim().parse::<u64>().ok();
    // "max" is no number, and no limit.
    let limit = number(files.limit)?;
    let stat = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
    let idle = stat.lines().find_map(|line| line.strip_prefix(files.idle)?.trim().parse::<u64>().ok()).unwrap_or(0);
    let used = number(files.used).unwrap_or(0);
    Some(limit.saturating_sub(used.saturating_sub(idle)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(mount: &Path, path: &str, files: &[(&str, &str)]) {
        let folder = mount.join(path);
        fs::create_dir_all(&folder).unwrap();
        for (name, text) in files {
            fs::write(folder.join(name), text).unwrap();
        }
    }

    #[test]
    fn file_pages_that_nobody_asks_for_count_as_free() {
        let mount = tempfile::tempdir().unwrap();
        let stat = "anon 300\nfile 700\ninactive_file 600\nactive_file 100\n";
        group(mount.path(), "", &[("memory.max", "1000\n"), ("memory.current", "1000\n"), ("memory.stat", stat)]);
        assert_eq!(left_in(mount.path(), "0::/\n"), Some(600));
    }

    #[test]
    fn the_tightest_of_a_units_slices_counts() {
        let mount = tempfile::tempdir().unwrap();
        group(mount.path(), "system.slice", &[("memory.max", "500"), ("memory.current", "450")]);
        group(mount.path(), "system.slice/friend.service", &[("memory.max", "2000"), ("memory.current", "100")]);
        assert_eq!(left_in(mount.path(), "0::/system.slice/friend.service\n"), Some(50));
        group(mount.path(), "system.slice", &[("memory.max", "max")]);
        assert_eq!(left_in(mount.path(), "0::/system.slice/friend.service\n"), Some(1900));
    }

    #[test]
    fn the_first_version_is_read_where_memory_has_a_hierarchy_of_its_own() {
        let mount = tempfile::tempdir().unwrap();
        let files = [
            ("memory.limit_in_bytes", "900"),
            ("memory.usage_in_bytes", "400"),
            ("memory.stat", "total_inactive_file 100\n"),
        ];
        group(mount.path(), "memory", &files);
        // In a container the path is the host's, and what is mounted is the container's own group.
        assert_eq!(left_in(mount.path(), "5:cpu:/docker/1\n4:cpuset,memory:/docker/1\n0::/\n"), Some(600));
    }

    #[test]
    fn without_a_limit_or_without_groups_nothing_is_said() {
        let mount = tempfile::tempdir().unwrap();
        group(mount.path(), "", &[("memory.max", "max"), ("memory.current", "10")]);
        assert_eq!(left_in(mount.path(), "0::/\n"), None);
        assert_eq!(left_in(&mount.path().join("nowhere"), "0::/\n4:memory:/x\n"), None);
        assert_eq!(left_in(mount.path(), "nonsense"), None);
    }
}

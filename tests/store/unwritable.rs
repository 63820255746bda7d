//! A data folder that cannot be written: told in words, nothing half written, and all well again when there is space.

use std::path::Path;
use std::process::Command;

use ai_friend::adapters::sqlite::{DATABASE, OpenError, Options, SqliteStore};
use friend_actors::fakes::contract::{message, outgoing, turn};
use friend_actors::ports::{Change, Store, StoreError};
use friend_actors::types::Role;

use super::{ANN, BOT, open};

/// Tells the children of these tests what to do where.
const CHILD: &str = "AI_FRIEND_TEST_UNWRITABLE";

#[test]
fn a_path_that_is_no_folder_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a-file");
    std::fs::write(&file, "not a folder").unwrap();
    for path in [&file, &file.join("below"), Path::new("/proc/ai-friend/data")] {
        let error = SqliteStore::open(path, Options::default()).unwrap_err();
        let told = error.to_string();
        assert!(matches!(error, OpenError::Folder { .. } | OpenError::Unwritable { .. }), "{error:?}");
        assert!(told.contains(&path.display().to_string()) && told.contains("--data"), "{told}");
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "not a folder");
}

#[tokio::test]
async fn a_full_database_refuses_whole_requests_and_recovers() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { max_size_mib: 1, ..Options::default() };
    let store = SqliteStore::open(folder.path(), options).unwrap();
    let epoch = store.claim(BOT, ANN, 0).await.unwrap().epoch;
    let words = "word ".repeat(2000);
    let mut answered = 0;
    let refusal = loop {
        let change = Change {
            turns: vec![turn(Role::Person, &words, 1), turn(Role::Friend, &words, 2)],
            out: vec![outgoing(&words)],
            ..Change::default()
        };
        match store.finish(BOT, ANN, epoch, change).await {
            Ok(()) => answered += 1,
            Err(error) => break error,
        }
        assert!(answered < 1000, "1 MiB holds no 30 MB");
    };
    assert!(matches!(&refusal, StoreError::Unwritable(reason) if reason.contains("full")), "{refusal}");
    let export = store.export(BOT, ANN).await.unwrap();
    let count = |key: &str| export[key].as_array().map_or(0, Vec::len);
    assert_eq!((count("turns"), count("not_sent")), (2 * answered, answered), "something is half written");

    store.erase(BOT, ANN, i64::MAX).await.unwrap();
    store.ingest(BOT, vec![message(1, ANN, &words)]).await.unwrap();
    drop(store);
    assert_eq!(open(folder.path()).pending(BOT, ANN, 10).await.unwrap().len(), 1);
}

/// The child's half of the tests below.
#[tokio::test]
async fn child_that_meets_the_systems_limits() {
    let Some(task) = std::env::var(CHILD).ok() else { return };
    let (task, folder) = task.split_once(':').expect("task:folder");
    let folder = Path::new(folder);
    match task {
        "full" => meet_a_full_disk(folder).await,
        _ => {
            let error = SqliteStore::open(folder, Options::default()).unwrap_err();
            assert!(matches!(error, OpenError::Unwritable { .. }), "{error:?}");
            println!("@told {error}");
        }
    }
}

async fn meet_a_full_disk(folder: &Path) {
    let store = open(folder);
    let words = "word ".repeat(2000);
    let mut taken = 0;
    let refusal = loop {
        match store.ingest(BOT, vec![message(taken, ANN, &words)]).await {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refusal, StoreError::Unwritable(_)), "{refusal:?}");
    assert_eq!(store.pending(BOT, ANN, usize::MAX).await.unwrap().len(), usize::try_from(taken).unwrap());
    println!("@taken {taken}");
}

/// Runs the child through a shell, under `before`; its own line, or why there is none.
fn child(before: &str, task: &str, folder: &Path) -> Result<String, String> {
    let me = std::env::current_exe().map_err(|error| error.to_string())?;
    let run = format!(
        "{before} exec \"{}\" --exact unwritable::child_that_meets_the_systems_limits --nocapture",
        me.display()
    );
    let value = format!("{task}:{}", folder.display());
    let output = Command::new("sh")
        .args(["-c", &run])
        .env(CHILD, value)
        .env("SCRIPT", &run)
        .output()
        .map_err(|e| e.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find_map(|line| line.split_once('@').map(|(_, told)| told.to_owned()));
    line.filter(|_| output.status.success())
        .ok_or_else(|| format!("{}\n{text}\n{}", output.status, String::from_utf8_lossy(&output.stderr)))
}

/// A limit on file sizes stands for a full disk: the system refuses a write in the middle of the log.
#[tokio::test]
async fn a_disk_that_refuses_writes_loses_nothing_that_was_promised() {
    let folder = tempfile::tempdir().unwrap();
    // 600 blocks of 512 bytes (dash) or of 1024 (bash); the signal is ignored, so writes fail instead.
    let told = child("trap '' XFSZ; ulimit -f 600;", "full", folder.path()).unwrap();
    let taken: usize = told.strip_prefix("taken ").and_then(|count| count.parse().ok()).expect("a count");
    assert!(taken > 0);
    let store = open(folder.path());
    assert_eq!(store.pending(BOT, ANN, usize::MAX).await.unwrap().len(), taken);
    store.ingest(BOT, vec![message(1_000_000, ANN, "there is space again")]).await.unwrap();
}

/// Root may write anywhere, so as root the folder is mounted read-only in a namespace of the child's own.
#[test]
fn a_read_only_folder_is_told_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    let before = std::fs::read(folder.path().join(DATABASE)).unwrap();
    set_modes(folder.path(), 0o555, 0o444);
    let root = std::fs::write(folder.path().join("probe"), "").is_ok();
    let mount = format!("mount --bind '{0}' '{0}' && mount -o remount,bind,ro '{0}' &&", folder.path().display());
    let told = match root {
        false => Some(child("", "read-only", folder.path()).unwrap()),
        true if in_namespace(&format!("{mount} true")) => {
            Some(child(&format!("{NAMESPACE} {mount}"), "read-only", folder.path()).unwrap())
        }
        true => None,
    };
    assert_eq!(std::fs::read(folder.path().join(DATABASE)).unwrap(), before);
    set_modes(folder.path(), 0o755, 0o644);
    match told {
        Some(told) => assert!(told.contains("cannot be written") && told.contains("--data"), "{told}"),
        None => println!("NOT TESTED: root may write into a read-only folder, and no mount namespace can be made here"),
    }
}

/// Makes the shell go on in a mount namespace of its own: it starts itself again there, once.
const NAMESPACE: &str = r#"[ -n "$IN_NAMESPACE" ] || IN_NAMESPACE=1 exec unshare -m sh -c "$SCRIPT";"#;

fn in_namespace(script: &str) -> bool {
    Command::new("unshare").args(["-m", "sh", "-c", script]).output().is_ok_and(|output| output.status.success())
}

fn set_modes(folder: &Path, folders: u32, files: u32) {
    use std::os::unix::fs::PermissionsExt;
    for entry in std::fs::read_dir(folder).unwrap() {
        std::fs::set_permissions(entry.unwrap().path(), std::fs::Permissions::from_mode(files)).unwrap();
    }
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(folders)).unwrap();
}

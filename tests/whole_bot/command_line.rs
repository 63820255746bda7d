//! The program's commands, run as a person would run them.

use std::path::Path;
use std::process::{Command, Output};

use crate::running;

fn ai_friend(arguments: &[&str], home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ai-friend"));
    command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).env("HOME", home);
    command.env("AI_FRIEND_MODELS", running::config().models.dir);
    for name in ["ORT_DISABLE_TELEMETRY", "OMP_WAIT_POLICY", "XDG_CACHE_HOME", "AI_FRIEND_LOG"] {
        command.env_remove(name);
    }
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn scoring_leaves_no_trace_of_the_librarys_telemetry() {
    let home = tempfile::tempdir().unwrap();
    let output = ai_friend(&["score", "--json", "i'm fine."], home.path()).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    // With telemetry on, the library writes a device id and a queue of events there before it sends them.
    let made: Vec<_> = std::fs::read_dir(home.path().join(".cache")).into_iter().flatten().flatten().collect();
    assert!(made.is_empty(), "{made:?}");
}

#[test]
fn load_plays_users_and_reports_that_all_were_answered() {
    let home = tempfile::tempdir().unwrap();
    let output = ai_friend(&["load", "--users", "2", "--turns", "1", "--json"], home.path()).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["replies"], &report["unanswered"]), (&2.into(), &0.into()));
}

#[test]
fn a_level_of_the_log_that_is_asked_for_holds_also_where_a_person_reads() {
    let home = tempfile::tempdir().unwrap();
    for (level, told) in [(None, false), (Some("info"), true)] {
        let mut command = ai_friend(&["load", "--users", "1", "--turns", "1"], home.path());
        let output = command.args(level.into_iter().flat_map(|level| ["--log", level])).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        assert_eq!(said(&output).contains(" INFO "), told, "{level:?}: {}", said(&output));
    }
}

#[test]
fn a_level_of_the_log_that_is_none_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let output = ai_friend(&["score", "hi", "--log", "verbose"], home.path()).output().unwrap();
    assert!(
        !output.status.success() && said(&output).contains("`verbose` is none of auto, error"),
        "{}",
        said(&output)
    );
}

#[test]
fn a_variable_that_looks_like_a_setting_of_ours_is_pointed_out() {
    let home = tempfile::tempdir().unwrap();
    let output = ai_friend(&["score", "hi"], home.path()).env("AI_FRIEND_MODLE_THREADS", "3").output().unwrap();
    assert!(output.status.success());
    assert!(said(&output).contains("did you mean AI_FRIEND_MODEL_THREADS?"), "{}", said(&output));
}

#[test]
fn an_empty_variable_for_the_settings_file_is_none() {
    let home = tempfile::tempdir().unwrap();
    let output = ai_friend(&["config", "show"], home.path()).env("AI_FRIEND_CONFIG", "").output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let output = ai_friend(&["config", "show"], home.path()).env("AI_FRIEND_CONFIG", "no-such.toml").output().unwrap();
    assert!(!output.status.success() && said(&output).contains("no-such.toml"), "{}", said(&output));
}

#[test]
fn random_weights_go_where_the_other_models_are_from_any_working_folder() {
    // A project of its own, so that this one's models are left alone. Beside the binary, where a link to it can be made.
    let project = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (binary, models) = (project.path().join("target/release/ai-friend"), project.path().join("models/cache"));
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(binary.parent().unwrap()).unwrap();
    std::fs::create_dir_all(&models).unwrap();
    std::fs::hard_link(env!("CARGO_BIN_EXE_ai-friend"), &binary).unwrap();
    let mut command = Command::new(&binary);
    command.args(["models", "synthesize", "--shape", "tiny", "--type", "F16"]).current_dir(elsewhere.path());
    let output = command.env_remove("AI_FRIEND_MODELS").env_remove("AI_FRIEND_CONFIG").output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert!(models.join("tiny-random.F16.gguf").is_file(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(!elsewhere.path().join("models").exists(), "and hide those of the project from now on");
}

#[test]
fn a_full_disk_behind_the_output_is_an_error_and_no_panic() {
    let home = tempfile::tempdir().unwrap();
    for command in [&["config", "example"][..], &["score", "hi"], &["check"], &["botapi", "--listen", "127.0.0.1:0"]] {
        let output = ai_friend(command, home.path()).stdout(full_disk()).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{command:?}: {}", said(&output));
        assert!(said(&output).contains("cannot write to standard output"), "{command:?}: {}", said(&output));
    }
}

#[test]
fn a_log_that_cannot_be_written_stops_nothing() {
    let home = tempfile::tempdir().unwrap();
    let mut command = ai_friend(&["score", "hi"], home.path());
    // There is something to warn of.
    command.env("AI_FRIEND_MODLE_THREADS", "3").stderr(full_disk());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", output.status);
    assert!(!output.stdout.is_empty());
}

fn full_disk() -> std::fs::File {
    std::fs::File::options().write(true).open("/dev/full").unwrap()
}

#[test]
fn check_tries_the_model_and_says_that_a_prompt_does_not_fit() {
    let home = tempfile::tempdir().unwrap();
    // A sound model of 320 tokens, whose vocabulary cuts the persona's words into more.
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/gguf/tests/fixtures/micro/gguf/model-f16.gguf");
    let mut command = ai_friend(&["check", "--model", model], home.path());
    let output = command.env("AI_FRIEND_DATA", home.path().join("data")).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let line = told.lines().find(|line| line.contains("model")).unwrap_or_default();
    assert!(line.starts_with("no") && line.contains("the context holds 320"), "{told}");
}

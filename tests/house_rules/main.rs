//! The house's rules, held against every file of the project: who may name whom, how long a file may be, where `unsafe`
//! may stand. Each rule is also shown a file that breaks it, so that none can fall asleep.

mod files;
mod rules;

use files::{Source, project};
use rules::{Rule, manifests, names, shape, words};

/// Runs a rule over the whole project and reports every breach at once.
fn holds(rule: Rule) {
    let breaches: Vec<String> = project().iter().flat_map(rule).collect();
    assert!(breaches.is_empty(), "the house's rules are broken in {} places:\n{}", breaches.len(), breaches.join("\n"));
}

/// The rule finds something in this made-up file.
#[track_caller]
fn catches(rule: Rule, path: &str, text: &str) {
    assert!(!rule(&Source::new(path, text)).is_empty(), "nothing was found in {path}:\n{text}");
}

/// The rule finds nothing in this made-up file.
#[track_caller]
fn allows(rule: Rule, path: &str, text: &str) {
    assert_eq!(rule(&Source::new(path, text)), Vec::<String>::new());
}

#[test]
fn the_whole_project_is_read() {
    let paths: Vec<String> = project().into_iter().map(|source| source.path).collect();
    for expected in
        ["Cargo.toml", "src/main.rs", "actors/src/ports.rs", "gguf/src/request.rs", "sim/src/lib.rs", ".ci/run"]
    {
        assert!(paths.iter().any(|path| path == expected), "{expected} was not read");
    }
    assert!(!paths.iter().any(|path| path.starts_with("target/") || path.starts_with(".git/")));
}

#[test]
fn files_say_what_they_are_and_stay_short() {
    holds(shape::begins_with_its_purpose);
    holds(shape::is_short);
    holds(shape::scripts_stop_at_the_first_error);
}

#[test]
fn a_file_without_a_purpose_or_an_end_is_caught() {
    catches(shape::begins_with_its_purpose, "src/app.rs", "use std::fs;\n//! late\n");
    allows(shape::begins_with_its_purpose, "src/app.rs", "//! Builds the app.\n");
    catches(shape::is_short, "src/app.rs", &"//!\n".repeat(451));
    allows(shape::is_short, "src/app.rs", &"//!\n".repeat(450));
    catches(shape::scripts_stop_at_the_first_error, "scripts/go.sh", "#!/usr/bin/env bash\necho\n");
    allows(shape::scripts_stop_at_the_first_error, "scripts/go.sh", "#!/usr/bin/env bash\nset -euo pipefail\n");
}

#[test]
fn unsafe_code_stands_only_beside_llama_cpp_and_is_argued_for() {
    holds(shape::unsafe_has_one_home);
    holds(shape::unsafe_says_why_it_is_safe);
}

#[test]
fn homeless_or_unargued_unsafe_is_caught() {
    catches(shape::unsafe_has_one_home, "gguf/src/sampler.rs", "fn f() { unsafe { g() } }");
    catches(shape::unsafe_has_one_home, "src/adapters/onnx.rs", "unsafe impl Send for A {}");
    allows(shape::unsafe_has_one_home, "gguf/src/sampler.rs", "// unsafe here?\nconst WORD: &str = \"unsafe\";");
    catches(shape::unsafe_says_why_it_is_safe, "gguf/src/llama/raw.rs", "fn f() {\n    unsafe { g() }\n}");
    catches(
        shape::unsafe_says_why_it_is_safe,
        "gguf/src/llama/raw.rs",
        "// SAFETY: checked.\nunsafe { g() }\nlet x = 1;\nunsafe { h() }",
    );
    allows(
        shape::unsafe_says_why_it_is_safe,
        "gguf/src/llama/raw.rs",
        "fn f() {\n    // SAFETY: the batch holds\n    // at most n_batch tokens.\n    unsafe { g() }\n}",
    );
}

#[test]
fn each_crate_names_only_what_it_may() {
    holds(names::names_only_what_it_may);
    holds(names::engine_knows_only_tokio_sync);
    holds(manifests::depends_only_on_what_it_may);
}

#[test]
fn a_forbidden_name_is_caught() {
    let rule: Rule = names::names_only_what_it_may;
    catches(rule, "gguf/src/thread.rs", "use actix::Actor;");
    catches(rule, "gguf/src/request.rs", "use friend_actors::types::ChatId;");
    catches(rule, "gguf/src/sampler.rs", "use llama_cpp_2::token::LlamaToken;");
    catches(rule, "gguf/src/prompt.rs", "struct TelegramMessage;");
    catches(rule, "actors/src/llm.rs", "use llama_cpp_2::model::LlamaModel;");
    catches(rule, "actors/src/emotion.rs", "let session: ort::session::Session;");
    catches(rule, "actors/src/outbox.rs", "frankenstein::Error");
    catches(rule, "actors/src/session.rs", "use rusqlite::Connection;");
    catches(rule, "actors/src/session.rs", "static SEEN: dashmap::DashMap<i64, i64>;");
    catches(rule, "sim/src/user.rs", "use friend_actors::types::ChatId;");
    catches(rule, "sim/src/bot_api/server.rs", "use frankenstein::types::Message;");
    catches(rule, "src/app.rs", "use frankenstein::client_reqwest::Bot;");
    catches(rule, "src/app.rs", "use rusqlite::Connection;");
    catches(rule, "src/score.rs", "use tokenizers::Tokenizer;");
    catches(names::engine_knows_only_tokio_sync, "gguf/src/thread.rs", "tokio::spawn(async {});");
    catches(names::engine_knows_only_tokio_sync, "gguf/src/thread.rs", "use tokio::{sync::mpsc, time};");
}

#[test]
fn a_permitted_name_is_no_breach() {
    let rule: Rule = names::names_only_what_it_may;
    allows(rule, "src/adapters/onnx.rs", "use ort::session::Session;");
    allows(rule, "gguf/src/llama/context.rs", "use llama_cpp_2::model::LlamaModel;");
    allows(rule, "actors/src/router.rs", "use dashmap::DashMap;");
    allows(rule, "actors/src/emotion.rs", "// ort is not ours\nlet sort = report(\"ort\");");
    allows(names::engine_knows_only_tokio_sync, "gguf/src/request.rs", "use tokio::sync::mpsc;");
    allows(names::engine_knows_only_tokio_sync, "actors/src/llm.rs", "tokio::spawn(async {});");
}

#[test]
fn a_forbidden_dependency_is_caught() {
    let rule: Rule = manifests::depends_only_on_what_it_may;
    catches(rule, "gguf/Cargo.toml", "[dependencies]\nactix.workspace = true");
    catches(rule, "gguf/Cargo.toml", "[dependencies]\ntokio = { workspace = true, features = [\"sync\", \"rt\"] }");
    catches(rule, "actors/Cargo.toml", "[dependencies]\nrusqlite.workspace = true");
    catches(rule, "actors/Cargo.toml", "[dependencies]\nanyhow = \"1\"");
    catches(rule, "sim/Cargo.toml", "[dev-dependencies]\nfriend-actors.workspace = true");
    catches(rule, "Cargo.toml", "[profile.release]\npanic = \"abort\"");
    allows(rule, "gguf/Cargo.toml", "[dependencies]\ntokio = { workspace = true, features = [\"sync\"] }");
    allows(rule, "Cargo.toml", "[dependencies]\nanyhow.workspace = true\n[profile.release]\npanic = \"unwind\"");
}

#[test]
fn nothing_names_the_place_it_was_built_at() {
    holds(words::no_place_of_origin);
}

#[test]
fn a_place_of_origin_is_caught() {
    for word in words::places() {
        catches(words::no_place_of_origin, "README.md", &format!("see {word}x"));
    }
    allows(words::no_place_of_origin, "README.md", "a framework/network of friends");
}

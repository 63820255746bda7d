//! The rules. Each is a function from one file to its breaches, so that a made-up file can be shown to it.

use crate::files::Source;

/// One rule: the breaches of one file, each a line that says where and what.
pub type Rule = fn(&Source) -> Vec<String>;

/// How a file looks.
pub mod shape {
    use super::*;

    /// The longest file that one still reads.
    const LINES: usize = 450;

    pub fn begins_with_its_purpose(source: &Source) -> Vec<String> {
        let fine = !source.is(".rs") || source.text.starts_with("//! ") || source.text.starts_with("//!\n");
        breach(!fine, source, 1, "does not begin with //! and what the file is for")
    }

    pub fn is_short(source: &Source) -> Vec<String> {
        let lines = source.text.lines().count();
        let counts = [".rs", ".py", ".sh", ".h"].iter().any(|ending| source.is(ending));
        breach(counts && lines > LINES, source, lines, &format!("has more than {LINES} lines: split it by job"))
    }

    pub fn scripts_stop_at_the_first_error(source: &Source) -> Vec<String> {
        let script =
            source.text.starts_with("#!/") && source.text.lines().next().is_some_and(|line| line.ends_with("bash"));
        breach(script && !source.text.contains("\nset -euo pipefail\n"), source, 1, "lacks `set -euo pipefail`")
    }

    pub fn unsafe_has_one_home(source: &Source) -> Vec<String> {
        let at_home = source.path.starts_with("gguf/src/llama/");
        let lines = source.identifiers().filter(|(_, word)| *word == "unsafe").map(|(line, _)| line);
        lines
            .filter(|_| !at_home)
            .flat_map(|line| breach(true, source, line, "unsafe outside gguf/src/llama/"))
            .collect()
    }

    pub fn unsafe_says_why_it_is_safe(source: &Source) -> Vec<String> {
        let lines: Vec<&str> = source.text.lines().collect();
        let argued = |line: usize| {
            let above = lines[..line - 1].iter().rev().map(|text| text.trim_start());
            let mut comments = above.take_while(|text| text.starts_with("//") || text.starts_with("#["));
            lines[line - 1].contains("SAFETY:")
                || comments.any(|text| text.contains("SAFETY:") || text.contains("# Safety"))
        };
        let places = source.identifiers().filter(|(_, word)| *word == "unsafe").map(|(line, _)| line);
        places
            .filter(|&line| !argued(line))
            .flat_map(|line| breach(true, source, line, "unsafe without a SAFETY: line directly above"))
            .collect()
    }
}

/// Who may name whom in code.
pub mod names {
    use super::*;

    /// Crates that speak for a vendor: only an adapter names them.
    const VENDORS: &[&str] = &["frankenstein", "ort", "tokenizers", "rusqlite", "reqwest"];
    /// The bindings of llama.cpp.
    const LLAMA: &[&str] = &["llama_cpp_2", "llama_cpp_sys_2"];

    /// Names that code in a folder (but not in its exception) may not use.
    pub struct Ban {
        pub folder: &'static str,
        pub but_not: &'static str,
        pub names: &'static [&'static [&'static str]],
    }

    pub const BANS: &[Ban] = &[
        Ban { folder: "src/", but_not: "src/adapters/", names: &[VENDORS] },
        Ban { folder: "src/", but_not: "", names: &[LLAMA] },
        Ban {
            folder: "actors/",
            but_not: "",
            names: &[VENDORS, LLAMA, &["axum", "anyhow", "friend_sim", "ai_friend", "clap"]],
        },
        // dashmap has one job: the router's table from chats to sessions.
        Ban { folder: "actors/", but_not: "actors/src/router", names: &[&["dashmap"]] },
        Ban {
            folder: "gguf/",
            but_not: "",
            names: &[VENDORS, &["actix", "axum", "anyhow", "friend_actors", "friend_sim", "ai_friend", "dashmap"]],
        },
        Ban { folder: "gguf/", but_not: "gguf/src/llama", names: &[LLAMA] },
        Ban {
            folder: "sim/",
            but_not: "",
            names: &[
                &["friend_actors", "friend_gguf", "ai_friend", "actix", "anyhow", "frankenstein", "ort", "rusqlite"],
                LLAMA,
            ],
        },
    ];

    impl Ban {
        fn covers(&self, path: &str) -> bool {
            path.starts_with(self.folder) && (self.but_not.is_empty() || !path.starts_with(self.but_not))
        }
    }

    pub fn names_only_what_it_may(source: &Source) -> Vec<String> {
        let bans: Vec<&Ban> = BANS.iter().filter(|ban| ban.covers(&source.path)).collect();
        let banned = |word: &str| {
            bans.iter().any(|ban| ban.names.concat().contains(&word))
                || source.path.starts_with("gguf/") && word.to_lowercase().contains("telegram")
        };
        source
            .identifiers()
            .filter(|(_, word)| banned(word))
            .flat_map(|(line, word)| breach(true, source, line, &format!("may not name {word}")))
            .collect()
    }

    pub fn engine_knows_only_tokio_sync(source: &Source) -> Vec<String> {
        if !source.path.starts_with("gguf/") {
            return Vec::new();
        }
        let beyond = |line: &str| line.split("tokio::").skip(1).any(|rest| !rest.starts_with("sync::"));
        let lines = source.code.lines().enumerate().filter(|(_, line)| beyond(line));
        lines.flat_map(|(index, _)| breach(true, source, index + 1, "uses more of tokio than tokio::sync::…")).collect()
    }
}

/// Who may depend on whom.
pub mod manifests {
    use super::{names::BANS, *};

    pub fn depends_only_on_what_it_may(source: &Source) -> Vec<String> {
        if !source.is("Cargo.toml") {
            return Vec::new();
        }
        let manifest: toml::Table = source.text.parse().expect("a Cargo.toml that cargo reads");
        let folder = source.path.trim_end_matches("Cargo.toml");
        let mut found = Vec::new();
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for name in manifest.get(section).and_then(toml::Value::as_table).into_iter().flat_map(toml::Table::keys) {
                let everywhere = BANS.iter().filter(|ban| ban.folder == folder && ban.but_not.is_empty());
                if everywhere.flat_map(|ban| ban.names.concat()).any(|banned| banned == name.replace('-', "_")) {
                    found.extend(breach(true, source, 1, &format!("may not depend on {name}")));
                }
            }
        }
        let features =
            manifest.get("dependencies").and_then(|all| all.get("tokio")).and_then(|tokio| tokio.get("features"));
        if let (true, Some(features)) = (folder == "gguf/", features) {
            let only_sync = features.as_array().is_some_and(|all| all.iter().all(|one| one.as_str() == Some("sync")));
            found.extend(breach(!only_sync, source, 1, "takes more of tokio than the feature sync"));
        }
        let profiles =
            manifest.get("profile").and_then(toml::Value::as_table).into_iter().flat_map(toml::Table::values);
        let aborts =
            profiles.filter(|profile| profile.get("panic").and_then(toml::Value::as_str) == Some("abort")).count();
        found.extend(breach(
            aborts > 0,
            source,
            1,
            "panic = \"abort\" would take every conversation down with one bug",
        ));
        found
    }
}

/// Words that no file may hold.
pub mod words {
    use super::*;

    /// Paths and hosts of the places where the project was built. Cut in two, or this file would break its own rule.
    pub fn places() -> Vec<String> {
        [
            ("/wo", "rk/"),
            ("../sha", "red"),
            ("/ro", "ot/"),
            ("/tmp/stu", "dio"),
            (".libr", "ary/"),
            ("files.python", "hosted"),
            ("pypi", ".org"),
            ("registry.npm", "js"),
            ("index.cra", "tes.io"),
            ("static.cra", "tes.io"),
            ("deb.deb", "ian.org"),
        ]
        .iter()
        .map(|(head, tail)| format!("{head}{tail}"))
        .collect()
    }

    pub fn no_place_of_origin(source: &Source) -> Vec<String> {
        let places = places();
        let named = |line: &str| places.iter().find(|place| line.contains(place.as_str())).cloned();
        let lines = source.text.lines().enumerate().filter_map(|(index, line)| Some((index + 1, named(line)?)));
        lines.flat_map(|(line, place)| breach(true, source, line, &format!("names {place}"))).collect()
    }
}

/// One breach, if it is one.
fn breach(broken: bool, source: &Source, line: usize, what: &str) -> Vec<String> {
    if broken { vec![format!("  {}:{line}: {what}", source.path)] } else { Vec::new() }
}

//! How the phrases become regular expressions: parts with a name are filled in, and all are compiled once.

use regex::{Regex, RegexSet, RegexSetBuilder};

/// Memory for what the search has learnt of the patterns. With the crate's 2 MiB it forgets that again and again, and takes three
/// times as long.
const LEARNT_BYTES: usize = 16 << 20;

/// One pattern of several ways to say a thing.
pub(super) fn any(lines: &[&str], parts: &[(&str, &str)]) -> Regex {
    #[expect(clippy::expect_used, reason = "constant patterns, compiled by a test")]
    Regex::new(&filled(lines, parts)).expect("constant patterns compile")
}

/// Several such patterns, looked for at once.
pub(super) fn any_of(groups: &[&[&str]], parts: &[(&str, &str)]) -> RegexSet {
    let patterns = groups.iter().map(|lines| filled(lines, parts));
    #[expect(clippy::expect_used, reason = "constant patterns, compiled by a test")]
    RegexSetBuilder::new(patterns).dfa_size_limit(LEARNT_BYTES).build().expect("constant patterns compile")
}

/// The lines as alternatives, with `{NAME}` filled in. Parts may name others, one deep.
fn filled(lines: &[&str], parts: &[(&str, &str)]) -> String {
    let mut pattern = lines.join("|");
    for (name, part) in [parts, parts].concat() {
        pattern = pattern.replace(name, part);
    }
    pattern
}

/// Takes what a pattern matches out of the words; whether there was any. What stands beside it does not become one phrase.
pub(super) fn take_out(words: &mut String, pattern: &Regex) -> bool {
    let without = pattern.replace_all(words, " ~ ");
    let found = matches!(without, std::borrow::Cow::Owned(_));
    if found {
        *words = without.into_owned();
    }
    found
}

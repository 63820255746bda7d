//! Reading the project, and telling a Rust file's code from its comments and strings.

use std::{fs, path::Path};

/// A text file of the project.
pub struct Source {
    /// Relative to the project's root, with `/`.
    pub path: String,
    /// As written.
    pub text: String,
    /// For Rust: the same text with comments, strings and characters blanked, line for line. Otherwise empty.
    pub code: String,
}

impl Source {
    /// A file as if it lay in the project.
    pub fn new(path: &str, text: &str) -> Self {
        let code = if path.ends_with(".rs") { code_only(text) } else { String::new() };
        Self { path: path.to_owned(), text: text.to_owned(), code }
    }

    /// Has it this ending (with the dot)?
    pub fn is(&self, ending: &str) -> bool {
        self.path.ends_with(ending)
    }

    /// Every identifier of the code, with its line (from 1).
    pub fn identifiers(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code.lines().enumerate().flat_map(|(index, line)| {
            line.split(|c: char| !c.is_alphanumeric() && c != '_')
                .filter(|word| !word.is_empty())
                .map(move |word| (index + 1, word))
        })
    }
}

/// Every text file that belongs to the project: not what was built, fetched or made by running it.
pub fn project() -> Vec<Source> {
    let mut found = Vec::new();
    walk(Path::new(env!("CARGO_MANIFEST_DIR")), "", &mut found);
    assert!(found.len() > 20, "the project's files were not found");
    found
}

fn walk(folder: &Path, prefix: &str, found: &mut Vec<Source>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries.map(|entry| entry.expect("a readable folder")) {
        let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let kind = entry.file_type().expect("a known file type");
        if kind.is_dir() && !is_made(&path) {
            walk(&entry.path(), &format!("{path}/"), found);
        } else if kind.is_file()
            && path != ".git" // a linked worktree's pointer
            && entry.metadata().is_ok_and(|metadata| metadata.len() < 4 << 20)
            && let Ok(text) = fs::read_to_string(entry.path())
        {
            found.push(Source::new(&path, &text));
        }
    }
}

/// Folders that running the project makes (those of .gitignore), and git's own.
fn is_made(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let hidden = name.starts_with('.') && ![".ci", ".cargo"].contains(&name);
    hidden || name == "__pycache__" || ["target", "models/cache", "data"].contains(&path)
}

/// Blanks comments, strings and character literals; keeps every line end.
fn code_only(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = literal_end(&chars, at);
        if end == at {
            out.push(chars[at]);
            at += 1;
        } else {
            out.extend(chars[at..end].iter().map(|&c| if c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    out
}

/// Where the comment or literal that starts here ends; `at` itself when none starts.
fn literal_end(chars: &[char], at: usize) -> usize {
    let next = |offset: usize| chars.get(at + offset).copied().unwrap_or('\0');
    let in_word = at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_');
    match chars[at] {
        '/' if next(1) == '/' => (at..chars.len()).find(|&i| chars[i] == '\n').unwrap_or(chars.len()),
        '/' if next(1) == '*' => block_comment_end(chars, at),
        '"' => quoted_end(chars, at + 1, '"'),
        'r' | 'b' | 'c' if !in_word => raw_or_byte_end(chars, at),
        // 'a' and '\n' are characters, 'a is a lifetime.
        '\'' if next(1) == '\\' || next(2) == '\'' => quoted_end(chars, at + 1, '\''),
        _ => at,
    }
}

fn block_comment_end(chars: &[char], start: usize) -> usize {
    let (mut depth, mut at) = (0_usize, start);
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

fn quoted_end(chars: &[char], mut at: usize, quote: char) -> usize {
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            c if c == quote => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

/// `r"…"`, `r#"…"#`, `b"…"`, `br"…"`, `c"…"`, `b'…'`; `at` when it is only a word.
fn raw_or_byte_end(chars: &[char], at: usize) -> usize {
    let mut i = at;
    let mut raw = false;
    while i < chars.len() && i - at < 2 && matches!(chars[i], 'r' | 'b' | 'c') {
        raw |= chars[i] == 'r';
        i += 1;
    }
    let hashes = chars[i..].iter().take_while(|&&c| raw && c == '#').count();
    match chars.get(i + hashes) {
        Some('"') if raw => {
            let tail: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
            let body = i + hashes + 1;
            (body..chars.len()).find(|&k| chars[k..].starts_with(&tail)).map_or(chars.len(), |k| k + tail.len())
        }
        Some(&quote @ ('"' | '\'')) if !raw => quoted_end(chars, i + 1, quote),
        _ => at,
    }
}

#[test]
fn comments_and_strings_are_no_code() {
    let code = |text: &str| code_only(text).split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(code("a(); // ort\nb();"), "a(); b();");
    assert_eq!(code("a /* x /* y */ ort */ b"), "a b");
    assert_eq!(code(r#"let s = "ort \" ort"; c"#), "let s = ; c");
    assert_eq!(code(r###"let s = r##"ort "# ort"##; c"###), "let s = ; c");
    assert_eq!(code("f(b\"ort\", br#\"ort\"#, b'\\'', '\"', 'x')"), "f( , , , , )");
    assert_eq!(code("fn f<'a>(x: &'a str) { bar }"), "fn f<'a>(x: &'a str) { bar }");
    assert_eq!(code_only("/* a\nb */\nc").lines().count(), 3);
}

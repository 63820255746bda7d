//! `parse_mode` MarkdownV2, strict about reserved characters.
//!
//! It is read as tdlib reads it, so that the same texts fail with the same words: entities are a stack, and a
//! character either ends the newest one or begins another.

use serde_json::{Value, json};

use super::reply::ApiError;
use super::text::{self, Formatted, entity};

/// Characters that MarkdownV2 wants escaped wherever they are not markup.
const RESERVED: &str = "_*[]()~`>#+-=|{}.!";

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Bold,
    Italic,
    Underline,
    Strikethrough,
    Spoiler,
    Code,
    /// A block of code.
    Pre,
    /// A block of code that names its language.
    PreCode,
    TextUrl,
    CustomEmoji,
    Quote,
}

impl Kind {
    /// In the Bot API's words.
    fn name(self) -> &'static str {
        match self {
            Self::Bold => "bold",
            Self::Italic => "italic",
            Self::Underline => "underline",
            Self::Strikethrough => "strikethrough",
            Self::Spoiler => "spoiler",
            Self::Code => "code",
            Self::Pre | Self::PreCode => "pre",
            Self::TextUrl => "text_link",
            Self::CustomEmoji => "custom_emoji",
            Self::Quote => "blockquote",
        }
    }

    /// In errors.
    fn in_errors(self) -> &'static str {
        match self {
            Self::Bold => "Bold",
            Self::Italic => "Italic",
            Self::Underline => "Underline",
            Self::Strikethrough => "Strikethrough",
            Self::Spoiler => "Spoiler",
            Self::Code => "Code",
            Self::Pre => "Pre",
            Self::PreCode => "PreCode",
            Self::TextUrl => "TextUrl",
            Self::CustomEmoji => "CustomEmoji",
            Self::Quote => "BlockQuote",
        }
    }

    /// What ends it; a quote ends with its last line.
    fn end(self) -> &'static str {
        match self {
            Self::Bold => "*",
            Self::Italic => "_",
            Self::Underline => "__",
            Self::Strikethrough => "~",
            Self::Spoiler => "||",
            Self::Code => "`",
            Self::Pre | Self::PreCode => "```",
            Self::TextUrl | Self::CustomEmoji => "]",
            Self::Quote => "\n",
        }
    }

    /// Whether nothing but a backtick is markup inside.
    fn is_code(self) -> bool {
        matches!(self, Self::Code | Self::Pre | Self::PreCode)
    }
}

struct Open {
    kind: Kind,
    /// In UTF-16 units of the text.
    from: usize,
    /// Of its first character in the source.
    byte: usize,
    language: Option<String>,
}

/// Parses MarkdownV2.
///
/// # Errors
/// 400 "can't parse entities: …" for a reserved character or an entity without its end.
pub fn parse(source: &str) -> Result<Formatted, ApiError> {
    let mut parser = Parser {
        source,
        at: 0,
        out: Formatted::default(),
        units: 0,
        open: Vec::new(),
        quoting: false,
        line_start: true,
    };
    while let Some(c) = parser.rest().chars().next() {
        parser.step(c)?;
    }
    parser.finish()
}

struct Parser<'a> {
    source: &'a str,
    /// Bytes of the source that were read.
    at: usize,
    out: Formatted,
    /// UTF-16 units of the text so far.
    units: usize,
    open: Vec<Open>,
    /// Whether one of the open ones is a quote.
    quoting: bool,
    /// Whether no character of the line was seen yet, markup aside: a quote may begin.
    line_start: bool,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.source[self.at..]
    }

    fn push(&mut self, c: char) {
        self.out.text.push(c);
        self.units += c.len_utf16();
        if c != '\r' {
            self.line_start = c == '\n';
        }
    }

    fn step(&mut self, c: char) -> Result<(), ApiError> {
        if let ('\\', Some(escaped)) = (c, escaped(self.rest())) {
            self.at += 2;
            self.push(escaped);
            return Ok(());
        }
        let in_code = self.open.last().is_some_and(|top| top.kind.is_code());
        let plain = if in_code { c != '`' } else { c != '\n' && !RESERVED.contains(c) };
        if plain {
            self.at += c.len_utf8();
            self.push(c);
            // Also behind the line feeds in code: a quote does not begin in it.
            self.line_start &= c == '\r';
            return Ok(());
        }
        match self.open.pop() {
            Some(top) if self.ends(top.kind) => self.close(top, c),
            Some(top) => {
                self.open.push(top);
                self.begin(c)
            }
            None => self.begin(c),
        }
    }

    /// Whether the newest open entity ends here; at the end of a quote all that are open should.
    fn ends(&self, kind: Kind) -> bool {
        let rest = self.rest();
        if self.quoting && rest.starts_with('\n') && !rest.starts_with("\n>") {
            return true;
        }
        match kind {
            Kind::Quote => false,
            Kind::Italic => rest.starts_with('_') && !rest.starts_with("__"),
            kind => rest.starts_with(kind.end()),
        }
    }

    fn begin(&mut self, c: char) -> Result<(), ApiError> {
        let (byte, rest) = (self.at, self.rest());
        let mut language = None;
        let (kind, length) = match c {
            '_' if rest.starts_with("__") => (Kind::Underline, 2),
            '_' => (Kind::Italic, 1),
            '*' => (Kind::Bold, 1),
            '~' => (Kind::Strikethrough, 1),
            '|' if rest.starts_with("||") => (Kind::Spoiler, 2),
            '[' => (Kind::TextUrl, 1),
            '!' if rest.starts_with("![") => (Kind::CustomEmoji, 2),
            '`' if rest.starts_with("```") => {
                let (named, length) = fence(rest);
                language = named;
                (if language.is_some() { Kind::PreCode } else { Kind::Pre }, length)
            }
            '`' => (Kind::Code, 1),
            '\n' => {
                self.at += 1;
                self.push('\n');
                return Ok(());
            }
            '>' if self.line_start && self.quoting => {
                self.at += 1;
                return Ok(());
            }
            '>' if self.line_start => (Kind::Quote, 1),
            _ => return Err(error(format!("Character '{c}' is reserved and must be escaped with the preceding '\\'"))),
        };
        self.quoting |= kind == Kind::Quote;
        self.open.push(Open { kind, from: self.units, byte, language });
        self.at += length;
        Ok(())
    }

    fn close(&mut self, top: Open, c: char) -> Result<(), ApiError> {
        if c == '\n' {
            return self.close_quote(top);
        }
        self.at += top.kind.end().len();
        let mut made = entity(top.kind.name(), top.from, self.units - top.from);
        match top.kind {
            Kind::TextUrl => match self.target("a URL")? {
                Some(url) if !url.is_empty() => made["url"] = json!(url),
                _ => return Ok(()),
            },
            Kind::CustomEmoji => match self.target("a custom emoji URL")? {
                Some(url) => made["custom_emoji_id"] = json!(url.rsplit("id=").next()),
                None => return Err(error("Custom emoji entity must contain a tg://emoji URL".to_owned())),
            },
            _ => {}
        }
        if let Some(language) = top.language {
            made["language"] = json!(language);
        }
        self.keep(made);
        Ok(())
    }

    /// A quote's last line is over. What was opened inside must have ended, but for `||` right at its end, which makes the
    /// quote expandable.
    fn close_quote(&mut self, top: Open) -> Result<(), ApiError> {
        let between = &self.source[top.byte..self.at];
        let (quote, name) = if top.kind == Kind::Spoiler && ["||", "||\r"].contains(&between) {
            (self.open.pop().unwrap_or(top), "expandable_blockquote")
        } else {
            (top, "blockquote")
        };
        if quote.kind != Kind::Quote {
            return Err(no_end(&quote));
        }
        self.quoting = false;
        self.at += 1;
        self.push('\n');
        self.keep(entity(name, quote.from, self.units - quote.from));
        Ok(())
    }

    /// `(url)` behind the text of a link, if it is there.
    fn target(&mut self, what: &str) -> Result<Option<String>, ApiError> {
        if !self.rest().starts_with('(') {
            return Ok(None);
        }
        self.at += 1;
        let (begin, mut url) = (self.at, String::new());
        while let Some(c) = self.rest().chars().next() {
            if let ('\\', Some(escaped)) = (c, escaped(self.rest())) {
                self.at += 2;
                url.push(escaped);
                continue;
            }
            self.at += c.len_utf8();
            if c == ')' {
                return Ok(Some(url));
            }
            url.push(c);
        }
        Err(error(format!("Can't find end of {what} at byte offset {begin}")))
    }

    fn keep(&mut self, made: Value) {
        if made["length"] != 0 {
            self.out.entities.push(made);
        }
    }

    fn finish(mut self) -> Result<Formatted, ApiError> {
        if self.quoting {
            let expands = |top: &Open| top.kind == Kind::Spoiler && top.byte + 2 == self.source.len();
            let expandable = self.open.pop_if(|top| expands(top)).is_some();
            if let Some(quote) = self.open.pop_if(|top| top.kind == Kind::Quote) {
                let name = if expandable { "expandable_blockquote" } else { "blockquote" };
                self.keep(entity(name, quote.from, self.units - quote.from));
            }
        }
        match self.open.last() {
            Some(left) => Err(no_end(left)),
            None => {
                text::sort(&mut self.out.entities);
                Ok(self.out)
            }
        }
    }
}

/// The character behind a backslash, where one can be escaped.
fn escaped(rest: &str) -> Option<char> {
    rest.chars().nth(1).filter(|c| ('\u{1}'..='~').contains(c))
}

/// The language that a block of code names, and the length of its first fence with it and the end of its line.
fn fence(rest: &str) -> (Option<String>, usize) {
    let inner = &rest[3..];
    let word = inner.find([' ', '\t', '\u{b}', '\r', '\n', '\0', '`']).unwrap_or(inner.len());
    let names = word > 0 && word < inner.len() && !inner[word..].starts_with('`');
    let language = names.then(|| inner[..word].to_owned());
    let text = &inner[language.as_ref().map_or(0, String::len)..];
    let line_end = match text.as_bytes() {
        [b'\r', b'\n', ..] | [b'\n', b'\r', ..] => 2,
        [b'\r' | b'\n', ..] => 1,
        _ => 0,
    };
    (language, rest.len() - text.len() + line_end)
}

/// 400 for markup that does not parse.
pub fn error(what: String) -> ApiError {
    ApiError::bad_request(format_args!("can't parse entities: {what}"))
}

fn no_end(left: &Open) -> ApiError {
    error(format!("Can't find end of {} entity at byte offset {}", left.kind.in_errors(), left.byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text, and each entity's type, offset and length.
    fn parsed(source: &str) -> (String, Vec<(String, u64, u64)>) {
        let parsed = parse(source).unwrap_or_else(|error| panic!("{source:?}: {error}"));
        let int = |entity: &Value, field: &str| entity[field].as_u64().unwrap();
        let kind = |entity: &Value| entity["type"].as_str().unwrap().to_owned();
        let of = |entity: &Value| (kind(entity), int(entity, "offset"), int(entity, "length"));
        (parsed.text, parsed.entities.iter().map(of).collect())
    }

    fn expect(source: &str, text: &str, entities: &[(&str, u64, u64)]) {
        let entities = entities.iter().map(|&(kind, offset, length)| (kind.to_owned(), offset, length)).collect();
        assert_eq!(parsed(source), (text.to_owned(), entities), "{source:?}");
    }

    #[test]
    fn markers_become_entities() {
        let parsed = parse("*bold _both_* __u__ ~s~ ||sp|| `c.d` [x\\!](https://e.org/a_b) 1\\.5").unwrap();
        assert_eq!(parsed.text, "bold both u s sp c.d x! 1.5");
        let kinds: Vec<_> = parsed.entities.iter().map(|entity| entity["type"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["bold", "italic", "underline", "strikethrough", "spoiler", "code", "text_link"]);
        assert_eq!(parsed.entities[1], entity("italic", 5, 4));
        assert_eq!(parsed.entities[6]["url"], "https://e.org/a_b");
    }

    #[test]
    fn what_is_empty_is_no_entity() {
        for source in ["a**", "a____", "a``", "a``````", "a[](e.org)", "a[]()"] {
            expect(source, "a", &[]);
        }
    }

    #[test]
    fn a_block_of_code_may_name_its_language_and_need_not_end_its_line() {
        for (source, text, language) in [
            ("```rust\nlet a\n```", "let a\n", Some("rust")),
            ("```rust\r\nlet a```", "let a", Some("rust")),
            ("```rust let a```", " let a", Some("rust")),
            ("```\nlet a```", "let a", None),
            ("```rust```", "rust", None),
            ("```a \\`b```", " `b", Some("a")),
        ] {
            let parsed = parse(source).unwrap();
            assert_eq!((parsed.text.as_str(), parsed.entities.len()), (text, 1), "{source:?}");
            assert_eq!(parsed.entities[0]["language"].as_str(), language, "{source:?}");
        }
    }

    #[test]
    fn a_quote_ends_with_the_last_line_that_begins_as_one() {
        expect(">one\n>two\nend", "one\ntwo\nend", &[("blockquote", 0, 8)]);
        expect("a\n>b", "a\nb", &[("blockquote", 2, 1)]);
        expect(">\n**>b", "\nb", &[("blockquote", 0, 1), ("blockquote", 1, 1)]);
        expect("\\>a", ">a", &[]);
        expect(">*a*", "a", &[("blockquote", 0, 1), ("bold", 0, 1)]);
        expect("*a\n>b\nc*", "a\nb\nc", &[("bold", 0, 5), ("blockquote", 2, 2)]);
        expect(">`a\nb`\n>c\nd", "a\nb\nc\nd", &[("blockquote", 0, 6), ("code", 0, 3)]);
    }

    #[test]
    fn bars_at_the_end_of_a_quote_make_it_expandable() {
        let inside = ("spoiler", 5, 1);
        expect(">asd\n>q||e||w||\nasdad", "asd\nqew\nasdad", &[("expandable_blockquote", 0, 8), inside]);
        expect(">asd\n>q||e||w||", "asd\nqew", &[("expandable_blockquote", 0, 7), inside]);
        expect(">a||\r\nb", "a\r\nb", &[("expandable_blockquote", 0, 3)]);
        expect(">a||b||\nc", "ab\nc", &[("blockquote", 0, 3), ("spoiler", 1, 1)]);
    }

    #[test]
    fn reserved_characters_must_be_escaped() {
        for source in ["Hello.", "a-b", "1+1", "(x)", "a # b", "{", "wow!", "a > b", "a|b", "]"] {
            let found = parse(source).unwrap_err().description;
            assert!(found.starts_with("Bad Request: can't parse entities: Character '"), "{source}: {found}");
            assert!(found.ends_with("is reserved and must be escaped with the preceding '\\'"), "{source}: {found}");
        }
        assert_eq!(parse("Hello\\. \\_a\\_").unwrap().text, "Hello. _a_");
    }

    #[test]
    fn an_entity_without_its_end_is_refused_and_the_newest_named() {
        for (source, words) in [
            ("a *b", "Can't find end of Bold entity at byte offset 2"),
            ("_a", "Can't find end of Italic entity at byte offset 0"),
            ("_a *b", "Can't find end of Bold entity at byte offset 3"),
            ("*a _b* c_", "Can't find end of Italic entity at byte offset 8"),
            ("_a__", "Can't find end of Underline entity at byte offset 2"),
            ("`a", "Can't find end of Code entity at byte offset 0"),
            ("```a", "Can't find end of Pre entity at byte offset 0"),
            ("```a ", "Can't find end of PreCode entity at byte offset 0"),
            ("```\na`b", "Can't find end of Code entity at byte offset 5"),
            ("```\na`b```", "Can't find end of Pre entity at byte offset 0"),
            ("[a](b", "Can't find end of a URL at byte offset 4"),
            ("![a](tg://emoji?id=1", "Can't find end of a custom emoji URL at byte offset 5"),
            ("![a]", "Custom emoji entity must contain a tg://emoji URL"),
            (">*b\n>ld \n>bo\nld*\nasd", "Can't find end of Bold entity at byte offset 1"),
            (">*a||\nb", "Can't find end of Bold entity at byte offset 1"),
        ] {
            let found = parse(source).unwrap_err().description;
            assert_eq!(found, format!("Bad Request: can't parse entities: {words}"), "{source:?}");
        }
    }
}

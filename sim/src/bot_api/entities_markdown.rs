//! `parse_mode` MarkdownV2 (strict about reserved characters) and the legacy Markdown.

use serde_json::json;

use super::reply::ApiError;
use super::text::{Formatted, entity, utf16_len};

/// Characters that MarkdownV2 wants escaped wherever they are not markup.
const RESERVED: &str = "_*[]()~`>#+-=|{}.!";

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Bold,
    Italic,
    Underline,
    Strikethrough,
    Spoiler,
    TextUrl,
    CustomEmoji,
}

impl Kind {
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Bold => ("bold", "Bold"),
            Self::Italic => ("italic", "Italic"),
            Self::Underline => ("underline", "Underline"),
            Self::Strikethrough => ("strikethrough", "Strikethrough"),
            Self::Spoiler => ("spoiler", "Spoiler"),
            Self::TextUrl => ("text_link", "TextUrl"),
            Self::CustomEmoji => ("custom_emoji", "CustomEmoji"),
        }
    }
}

struct Open {
    kind: Kind,
    from: usize,
    byte: usize,
}

/// Parses MarkdownV2.
///
/// # Errors
/// 400 "can't parse entities: …" for a reserved character or an entity without its end.
pub fn parse(source: &str) -> Result<Formatted, ApiError> {
    let mut out = Formatted::default();
    let mut open: Vec<Open> = Vec::new();
    let mut quote: Option<usize> = None;
    let mut at = 0;
    while let Some(c) = source[at..].chars().next() {
        let rest = &source[at..];
        let line_start = at == 0 || source[..at].ends_with('\n');
        if line_start && quote.is_some() && !rest.starts_with('>') {
            close_quote(&mut out, &mut quote);
        }
        if c == '\\' && rest[1..].chars().next().is_some_and(|next| next.is_ascii()) {
            out.text.push_str(&rest[1..2]);
            at += 2;
        } else if line_start && (c == '>' || rest.starts_with("**>")) {
            quote.get_or_insert_with(|| utf16_len(&out.text));
            at += if c == '>' { 1 } else { 3 };
        } else if c == '`' {
            at += code(source, at, &mut out)?;
        } else if let Some((kind, length)) = marker(rest) {
            at += mark(source, at, (kind, length), &mut open, &mut out)?;
        } else if c == ']' && open.last().is_some_and(|top| matches!(top.kind, Kind::TextUrl | Kind::CustomEmoji)) {
            at += link_end(source, at, &mut open, &mut out)?;
        } else if RESERVED.contains(c) {
            return Err(error(format!("Character '{c}' is reserved and must be escaped with the preceding '\\'")));
        } else {
            out.text.push(c);
            at += c.len_utf8();
        }
    }
    close_quote(&mut out, &mut quote);
    match open.first() {
        Some(left) => Err(no_end(left.kind.names().1, left.byte)),
        None => {
            out.entities
                .sort_by_key(|entity| (entity["offset"].as_u64(), std::cmp::Reverse(entity["length"].as_u64())));
            Ok(out)
        }
    }
}

/// Parses the legacy Markdown: no nesting, no reserved characters but the markers themselves.
///
/// # Errors
/// 400 "can't parse entities: …" for an entity without its end.
pub fn parse_legacy(source: &str) -> Result<Formatted, ApiError> {
    let mut out = Formatted::default();
    let mut at = 0;
    while let Some(c) = source[at..].chars().next() {
        let rest = &source[at..];
        if c == '\\' && rest[1..].starts_with(['_', '*', '`', '[']) {
            out.text.push_str(&rest[1..2]);
            at += 2;
            continue;
        }
        let (kind, begin, end) = match c {
            '*' => ("bold", "*", "*"),
            '_' => ("italic", "_", "_"),
            '`' if rest.starts_with("```") => ("pre", "```", "```"),
            '`' => ("code", "`", "`"),
            '[' => ("text_link", "[", "]"),
            c => {
                out.text.push(c);
                at += c.len_utf8();
                continue;
            }
        };
        let inner = &rest[begin.len()..];
        let length = inner
            .find(end)
            .ok_or_else(|| error(format!("Can't find end of the entity starting at byte offset {at}")))?;
        let from = utf16_len(&out.text);
        out.text.push_str(&inner[..length]);
        let mut made = entity(kind, from, utf16_len(&inner[..length]));
        at += begin.len() + length + end.len();
        if kind == "text_link" {
            let url =
                source[at..].strip_prefix('(').and_then(|after| after.split_once(')')).map(|(url, _)| url.to_owned());
            at += url.as_ref().map_or(0, |url| url.len() + 2);
            if url.as_ref().is_none_or(String::is_empty) {
                continue;
            }
            made["url"] = json!(url);
        }
        if length > 0 {
            out.entities.push(made);
        }
    }
    Ok(out)
}

fn error(what: String) -> ApiError {
    ApiError::bad_request(format_args!("can't parse entities: {what}"))
}

fn no_end(name: &str, byte: usize) -> ApiError {
    error(format!("Can't find end of {name} entity at byte offset {byte}"))
}

/// The marker that `rest` begins with. `__` is always taken as underline, from left to right.
fn marker(rest: &str) -> Option<(Kind, usize)> {
    match rest.as_bytes() {
        [b'_', b'_', ..] => Some((Kind::Underline, 2)),
        [b'_', ..] => Some((Kind::Italic, 1)),
        [b'*', ..] => Some((Kind::Bold, 1)),
        [b'~', ..] => Some((Kind::Strikethrough, 1)),
        [b'|', b'|', ..] => Some((Kind::Spoiler, 2)),
        [b'[', ..] => Some((Kind::TextUrl, 1)),
        [b'!', b'[', ..] => Some((Kind::CustomEmoji, 2)),
        _ => None,
    }
}

fn mark(
    source: &str,
    at: usize,
    (kind, length): (Kind, usize),
    open: &mut Vec<Open>,
    out: &mut Formatted,
) -> Result<usize, ApiError> {
    let here = utf16_len(&out.text);
    let link = matches!(kind, Kind::TextUrl | Kind::CustomEmoji);
    if !link && open.last().is_some_and(|top| top.kind == kind) {
        let started = open.pop().unwrap_or(Open { kind, from: here, byte: at });
        if here > started.from {
            out.entities.push(entity(kind.names().0, started.from, here - started.from));
        }
    } else if open.iter().any(|one| one.kind == kind) {
        let top = open.last().map_or((kind, at), |top| (top.kind, top.byte));
        return Err(no_end(top.0.names().1, top.1));
    } else {
        debug_assert!(source.is_char_boundary(at + length));
        open.push(Open { kind, from: here, byte: at });
    }
    Ok(length)
}

/// `](url)`: its length.
fn link_end(source: &str, at: usize, open: &mut Vec<Open>, out: &mut Formatted) -> Result<usize, ApiError> {
    let Some(started) = open.pop() else { return Ok(1) };
    let here = utf16_len(&out.text);
    let Some(target) = source[at + 1..].strip_prefix('(') else {
        if started.kind == Kind::CustomEmoji {
            return Err(error(format!("Custom emoji entity must contain a tg://emoji URL at byte offset {at}")));
        }
        return Ok(1);
    };
    let (mut url, mut length, mut escaped) = (String::new(), 2, false);
    for c in target.chars() {
        length += c.len_utf8();
        match c {
            '\\' if !escaped => escaped = true,
            ')' if !escaped => {
                if here > started.from && !url.is_empty() {
                    let mut made = entity(started.kind.names().0, started.from, here - started.from);
                    if started.kind == Kind::CustomEmoji {
                        made["custom_emoji_id"] = json!(url.rsplit("id=").next());
                    } else {
                        made["url"] = json!(url);
                    }
                    out.entities.push(made);
                }
                return Ok(length);
            }
            c => {
                url.push(c);
                escaped = false;
            }
        }
    }
    Err(error(format!("Can't find end of a URL at byte offset {}", at + 1)))
}

/// Inline code or a block at `at`: its length in the source.
fn code(source: &str, at: usize, out: &mut Formatted) -> Result<usize, ApiError> {
    let block = source[at..].starts_with("```");
    let fence = if block { "```" } else { "`" };
    let mut inner = &source[at + fence.len()..];
    let mut length = fence.len();
    let mut language = None;
    if block {
        let word: String = inner.chars().take_while(|c| !c.is_whitespace() && *c != '`').collect();
        if inner[word.len()..].starts_with('\n') {
            length += word.len() + 1;
            inner = &inner[word.len() + 1..];
            language = (!word.is_empty()).then_some(word);
        }
    }
    let (from, mut chars) = (utf16_len(&out.text), inner.chars());
    loop {
        if chars.as_str().starts_with(fence) {
            break;
        }
        match chars.next() {
            None => return Err(no_end(if block { "PreCode" } else { "Code" }, at)),
            Some('\\') => {
                let next = chars.clone().next().filter(char::is_ascii);
                length += 1;
                match next {
                    Some(c) => {
                        out.text.push(c);
                        length += 1;
                        chars.next();
                    }
                    None => out.text.push('\\'),
                }
            }
            Some(c) => {
                out.text.push(c);
                length += c.len_utf8();
            }
        }
    }
    let to = utf16_len(&out.text);
    if to > from {
        let mut made = entity(if block { "pre" } else { "code" }, from, to - from);
        if let Some(language) = language {
            made["language"] = json!(language);
        }
        out.entities.push(made);
    }
    Ok(length + fence.len())
}

fn close_quote(out: &mut Formatted, quote: &mut Option<usize>) {
    if let Some(from) = quote.take() {
        let to = utf16_len(out.text.trim_end_matches('\n'));
        if to > from {
            out.entities.push(entity("blockquote", from, to - from));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_become_entities() {
        let parsed = parse("*bold _both_* __u__ ~s~ ||sp|| `c.d` [x\\!](https://e.org/a_b) 1\\.5").unwrap();
        assert_eq!(parsed.text, "bold both u s sp c.d x! 1.5");
        let kinds: Vec<_> = parsed.entities.iter().map(|entity| entity["type"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["bold", "italic", "underline", "strikethrough", "spoiler", "code", "text_link"]);
        assert_eq!(parsed.entities[1], entity("italic", 5, 4));
    }

    #[test]
    fn a_block_of_code_and_a_quote_are_read() {
        let parsed = parse("```rust\nlet a = 1;\n```\n>one\n>two\nend").unwrap();
        assert_eq!(parsed.text, "let a = 1;\n\none\ntwo\nend");
        assert_eq!(parsed.entities[0]["language"], "rust");
        assert_eq!(parsed.entities[1]["type"], "blockquote");
    }

    #[test]
    fn reserved_characters_must_be_escaped() {
        for source in ["Hello.", "a-b", "1+1", "(x)", "a # b", "{", "wow!", "a > b"] {
            let found = parse(source).unwrap_err().description;
            assert!(found.starts_with("Bad Request: can't parse entities: Character '"), "{source}: {found}");
            assert!(found.ends_with("is reserved and must be escaped with the preceding '\\'"), "{source}: {found}");
        }
        assert_eq!(parse("Hello\\. \\_a\\_").unwrap().text, "Hello. _a_");
    }

    #[test]
    fn an_entity_without_its_end_is_refused() {
        for (source, words) in [
            ("a *b", "Can't find end of Bold entity at byte offset 2"),
            ("_a", "Can't find end of Italic entity at byte offset 0"),
            ("*a _b* c_", "Can't find end of Italic entity at byte offset 3"),
            ("`a", "Can't find end of Code entity at byte offset 0"),
            ("```a", "Can't find end of PreCode entity at byte offset 0"),
            ("[a](b", "Can't find end of a URL at byte offset 3"),
        ] {
            let found = parse(source).unwrap_err().description;
            assert!(found.contains(words), "{source}: {found}");
        }
    }

    #[test]
    fn legacy_markdown_knows_no_nesting() {
        let parsed = parse_legacy("*a* b. [c](d) \\_e").unwrap();
        assert_eq!(parsed.text, "a b. c _e");
        assert!(
            parse_legacy("snake_case")
                .unwrap_err()
                .description
                .contains("Can't find end of the entity starting at byte offset 5")
        );
    }
}

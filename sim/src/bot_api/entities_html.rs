//! `parse_mode` HTML: the tags that the Bot API documents, strictly, with the public server's errors.

use serde_json::{Value, json};

use super::reply::ApiError;
use super::text::{Formatted, entity, utf16_len};

/// Tags and the entities they make.
const TAGS: [(&str, &str); 16] = [
    ("b", "bold"),
    ("strong", "bold"),
    ("i", "italic"),
    ("em", "italic"),
    ("u", "underline"),
    ("ins", "underline"),
    ("s", "strikethrough"),
    ("strike", "strikethrough"),
    ("del", "strikethrough"),
    ("tg-spoiler", "spoiler"),
    ("span", "spoiler"),
    ("a", "text_link"),
    ("code", "code"),
    ("pre", "pre"),
    ("blockquote", "blockquote"),
    ("tg-emoji", "custom_emoji"),
];

struct Open {
    tag: String,
    attributes: Vec<(String, String)>,
    from: usize,
}

/// Parses `source` into text and entities.
///
/// # Errors
/// 400 "can't parse entities: …" with the byte offset.
pub fn parse(source: &str) -> Result<Formatted, ApiError> {
    let mut out = Formatted::default();
    let mut open: Vec<Open> = Vec::new();
    let mut at = 0;
    while let Some(c) = source[at..].chars().next() {
        match c {
            '&' => {
                let (text, length) = reference(&source[at..]);
                out.text.push_str(&text);
                at += length;
            }
            '<' if source[at + 1..].starts_with('/') => {
                let end =
                    source[at..].find('>').ok_or_else(|| error(format!("Unclosed end tag at byte offset {at}")))?;
                let name = source[at + 2..at + end].trim().to_ascii_lowercase();
                let started = open.pop().ok_or_else(|| error(format!("Unexpected end tag at byte offset {at}")))?;
                if !name.is_empty() && name != started.tag {
                    let expected = &started.tag;
                    return Err(error(format!(
                        "Unmatched end tag at byte offset {at}, expected \"</{expected}>\", found \"</{name}>\""
                    )));
                }
                let to = utf16_len(&out.text);
                if to > started.from {
                    out.entities.push(close(&started, to));
                }
                at += end + 1;
            }
            '<' => {
                let (tag, attributes, length) = start_tag(source, at)?;
                open.push(Open { tag, attributes, from: utf16_len(&out.text) });
                at += length;
            }
            c => {
                out.text.push(c);
                at += c.len_utf8();
            }
        }
    }
    if let Some(left) = open.pop() {
        return Err(error(format!("Can't find end tag corresponding to start tag \"{}\"", left.tag)));
    }
    out.entities.sort_by_key(|entity| (entity["offset"].as_u64(), std::cmp::Reverse(entity["length"].as_u64())));
    Ok(out)
}

fn error(what: String) -> ApiError {
    ApiError::bad_request(format_args!("can't parse entities: {what}"))
}

fn close(started: &Open, to: usize) -> Value {
    let kind = TAGS.iter().find(|(tag, _)| *tag == started.tag).map_or("bold", |(_, kind)| kind);
    let attribute = |name: &str| started.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    let mut made = entity(kind, started.from, to - started.from);
    match kind {
        "text_link" => made["url"] = json!(attribute("href").unwrap_or_default()),
        "custom_emoji" => made["custom_emoji_id"] = json!(attribute("emoji-id").unwrap_or_default()),
        "blockquote" if attribute("expandable").is_some() => made["type"] = json!("expandable_blockquote"),
        _ => {}
    }
    made
}

type StartTag = (String, Vec<(String, String)>, usize);

/// Reads `<name attribute="value" …>` at `at`: its name, attributes and length in bytes.
fn start_tag(source: &str, at: usize) -> Result<StartTag, ApiError> {
    let body = &source[at + 1..];
    let name_end = body.find(|c: char| c.is_whitespace() || c == '>').unwrap_or(body.len());
    let name = body[..name_end].to_ascii_lowercase();
    if name_end == body.len() {
        return Err(error(format!("Unclosed start tag at byte offset {at}")));
    }
    if !TAGS.iter().any(|(tag, _)| *tag == name) {
        return Err(error(format!("Unsupported start tag \"{name}\" at byte offset {at}")));
    }
    let unclosed = || error(format!("Unclosed start tag \"{name}\" at byte offset {at}"));
    let (mut rest, mut attributes) = (body[name_end..].trim_start(), Vec::new());
    while !rest.starts_with('>') {
        let key_end = rest.find(|c: char| c.is_whitespace() || "=>".contains(c)).ok_or_else(unclosed)?;
        let key = rest[..key_end].to_ascii_lowercase();
        if key.is_empty() {
            return Err(error(format!("Empty attribute name in the tag \"{name}\" at byte offset {at}")));
        }
        rest = rest[key_end..].trim_start();
        let Some(value) = rest.strip_prefix('=') else {
            attributes.push((key, String::new()));
            continue;
        };
        let value = value.trim_start();
        let (raw, after) = match value.chars().next().ok_or_else(unclosed)? {
            quote @ ('"' | '\'') => value[1..].split_once(quote).ok_or_else(unclosed)?,
            _ => value.split_at(value.find(|c: char| c.is_whitespace() || c == '>').ok_or_else(unclosed)?),
        };
        attributes.push((key, unescape(raw)));
        rest = after.trim_start();
    }
    let has = |key: &str, value: &str| attributes.iter().any(|(k, v)| k == key && v == value);
    if name == "span" && !has("class", "tg-spoiler") {
        return Err(error(format!("Tag \"span\" must have class \"tg-spoiler\" at byte offset {at}")));
    }
    let length = source.len() - at - rest.len() + 1;
    Ok((name, attributes, length))
}

fn unescape(raw: &str) -> String {
    let (mut out, mut rest) = (String::new(), raw);
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        let (text, length) = reference(&rest[at..]);
        out.push_str(&text);
        rest = &rest[at + length..];
    }
    out + rest
}

/// The character reference at the beginning of `source`; an unknown one stands for itself.
fn reference(source: &str) -> (String, usize) {
    let literal = ("&".to_owned(), 1);
    let Some(end) = source.bytes().take(12).position(|b| b == b';') else { return literal };
    let name = &source[1..end];
    let code = |digits: &str, radix| u32::from_str_radix(digits, radix).ok().and_then(char::from_u32);
    let found = match name {
        "lt" => Some('<'),
        "gt" => Some('>'),
        "amp" => Some('&'),
        "quot" => Some('"'),
        _ => name.strip_prefix('#').and_then(|number| match number.strip_prefix(['x', 'X']) {
            Some(hex) => code(hex, 16),
            None => code(number, 10),
        }),
    };
    found.map_or(literal, |c| (c.to_string(), end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails(source: &str) -> String {
        parse(source).unwrap_err().description
    }

    #[test]
    fn documented_tags_become_entities() {
        let parsed = parse("😀<b>bold <i>both</i></b> &lt;&#33; <a href=\"https://e.org/?a=1&amp;b\">x</a>").unwrap();
        assert_eq!(parsed.text, "😀bold both <! x");
        assert_eq!(parsed.entities[..2], [entity("bold", 2, 9), entity("italic", 7, 4)]);
        assert_eq!(parsed.entities[2]["url"], "https://e.org/?a=1&b");
    }

    #[test]
    fn broken_markup_is_refused_in_telegrams_words() {
        for (source, words) in [
            ("<b>a", "Bad Request: can't parse entities: Can't find end tag corresponding to start tag \"b\""),
            ("a </b>", "Unexpected end tag at byte offset 2"),
            ("<b>a</i>", "Unmatched end tag at byte offset 4, expected \"</b>\", found \"</i>\""),
            ("a < b > c", "Unsupported start tag \"\" at byte offset 2"),
            ("<h1>a</h1>", "Unsupported start tag \"h1\" at byte offset 0"),
            ("i <3 you", "Unsupported start tag \"3\" at byte offset 2"),
            ("ends with <", "Unclosed start tag"),
            ("<a href=\"x>y</a>", "Unclosed start tag"),
            ("<span>a</span>", "must have class"),
        ] {
            let found = fails(source);
            assert!(found.contains(words), "{source}: {found}");
        }
    }

    #[test]
    fn unknown_references_stand_for_themselves() {
        assert_eq!(parse("R&D &copy; &").unwrap().text, "R&D &copy; &");
    }
}

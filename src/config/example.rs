//! The example file, made from the settings' own documentation so that it cannot grow old.

use std::fmt::Write;

use super::Config;

/// The whole of `ai-friend.example.toml`: every setting with its documentation, range, variable and default, commented
/// out.
pub fn example() -> String {
    let mut text = String::from(
        "# ai-friend's settings. Copy this file to ai-friend.toml and take the # away where you want another value.\n\
         # The environment wins over this file, flags win over both. Made by `ai-friend config example`.\n",
    );
    let config = Config::default();
    for (section, doc, fields) in Config::sections() {
        text.push('\n');
        for line in doc {
            push(&mut text, format_args!("#{line}"));
        }
        push(&mut text, format_args!("[{section}]"));
        for field in fields {
            text.push('\n');
            for line in field.doc {
                push(&mut text, format_args!("#{line}"));
            }
            let range = field.range.map(|range| format!("Range: {range}. ")).unwrap_or_default();
            push(&mut text, format_args!("# {range}Environment: {}", field.variable(section)));
            match config.get(section, field.name) {
                Some(value) => push(&mut text, format_args!("#{} = {value}", field.name)),
                None => push(&mut text, format_args!("#{} =", field.name)),
            }
        }
    }
    text
}

fn push(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{line}");
}

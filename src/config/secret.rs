//! A text that never prints itself: the bot's token.

use serde::{Deserialize, Serialize, Serializer};

/// Holds a token. `Debug`, `Display` and `Serialize` all give `[secret]`; only [`Secret::expose`] gives the text.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Takes a text out of circulation. White space around it (a newline from a secrets file) is dropped.
    pub fn new(text: impl AsRef<str>) -> Self {
        Self(text.as_ref().trim().to_owned())
    }

    /// The text itself: for the one place that must send it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether nothing was given.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `text` with every occurrence of the secret replaced, for messages that others wrote (an URL in an error).
    pub fn redact(&self, text: &str) -> String {
        if self.is_empty() { text.to_owned() } else { text.replace(&self.0, "[secret]") }
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[secret]")
    }
}

impl std::fmt::Display for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[secret]")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("[secret]")
    }
}

/// An address without the user and password that may stand in it.
pub fn without_password(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else { return address.to_owned() };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    match host.rfind('@') {
        Some(at) => format!("{scheme}://[secret]{}", &rest[at..]),
        None => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_way_of_printing_a_secret_shows_it() {
        let secret = Secret::new(" 123:ABC\n");
        let json = serde_json::to_string(&secret).unwrap();
        let shown = format!("{secret} {secret:?} {secret:#?} {json} {:?}", Some(&secret));
        assert!(!shown.contains("123") && !shown.contains("ABC"), "{shown}");
        assert_eq!(secret.expose(), "123:ABC");
    }

    #[test]
    fn a_secret_is_taken_out_of_other_peoples_messages() {
        let secret = Secret::new("123:ABC");
        assert_eq!(secret.redact("GET /bot123:ABC/getMe failed"), "GET /bot[secret]/getMe failed");
        assert_eq!(Secret::new("").redact("as it was"), "as it was");
    }

    #[test]
    fn an_address_is_shown_without_its_password() {
        assert_eq!(without_password("https://ann:pass@hub.example:8/x@y"), "https://[secret]@hub.example:8/x@y");
        for plain in ["https://hub.example/a@b", "hub.example", ""] {
            assert_eq!(without_password(plain), plain);
        }
    }
}

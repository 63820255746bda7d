//! One call over HTTP: what is certain about its outcome, and nothing of the token in any error.

use std::net::IpAddr;
use std::time::Duration;

use friend_actors::ports::ApiError;
use reqwest::multipart::{Form, Part};
use reqwest::{Client, RequestBuilder, Response, Url, redirect};
use serde::Serialize;
use serde_json::Value;

use super::answer;
use crate::config::Secret;

/// Calls methods of the Bot API. The address holds the token, so it is never printed.
pub(super) struct Wire {
    client: Client,
    /// `<base>/bot<token>`.
    root: Secret,
}

/// A file made in memory.
#[derive(Clone)]
pub(super) struct File {
    /// The parameter that it is.
    pub(super) field: &'static str,
    /// What the person sees.
    pub(super) name: String,
    /// UTF-8 text.
    pub(super) content: String,
}

/// Why a configuration cannot work. Shows no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The address cannot be called.
    #[error("TG_API_URL is not an http:// or https:// address: {0}")]
    Url(String),
    /// No token was given.
    #[error("no bot token: get one from @BotFather and set TG_BOT_TOKEN")]
    NoToken,
    /// A token looks like 123456:ABC-def.
    #[error("TG_BOT_TOKEN does not look like a bot token (digits, a colon, then letters, digits, - or _)")]
    Token,
    /// The HTTP client could not be made.
    #[error("no HTTP client can be made here: {0}")]
    Client(String),
}

/// A body beyond this is no answer of the API (100 updates of the largest kind are far below).
const LARGEST_BODY: usize = 16 << 20;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Shorter than servers keep an idle connection: a call that meets its closing would be ambiguous.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);

impl Wire {
    pub(super) fn new(base_url: &str, token: &Secret) -> Result<Self, ConfigError> {
        let base = base_url.trim().trim_end_matches('/');
        let url = Url::parse(base).map_err(|error| ConfigError::Url(error.to_string()))?;
        let host = match url.host_str() {
            Some(host) if matches!(url.scheme(), "http" | "https") => host,
            _ => return Err(ConfigError::Url("scheme or host is missing".to_owned())),
        };
        if url.query().is_some() || url.fragment().is_some() {
            return Err(ConfigError::Url("it ends in a query or fragment".to_owned()));
        }
        check_token(token)?;
        // A redirect would carry the token to an address that nobody configured.
        let builder = Client::builder()
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            // A connection for each call in flight: one that breaks makes one send ambiguous, not all of them.
            .http1_only();
        let builder = if is_loopback(host) { builder.no_proxy() } else { builder };
        let client = builder.build().map_err(|error| ConfigError::Client(error.without_url().to_string()))?;
        Ok(Self { client, root: Secret::new(format!("{base}/bot{}", token.expose())) })
    }

    /// Calls a method with JSON parameters. Any 2xx is `Ok`: `result`, or null where the body was no JSON of the API.
    pub(super) async fn call(
        &self,
        method: &str,
        params: &impl Serialize,
        timeout: Duration,
    ) -> Result<Value, ApiError> {
        let body = serde_json::to_vec(params).map_err(|_| ApiError::Rejected("parameters are no JSON".to_owned()))?;
        let request = self.client.post(self.url(method)).header("content-type", "application/json").body(body);
        perform(request, timeout).await
    }

    /// Calls a method with a file. frankenstein's own upload reads files from disk only.
    pub(super) async fn upload(
        &self,
        method: &str,
        fields: Vec<(&'static str, String)>,
        file: File,
        timeout: Duration,
    ) -> Result<Value, ApiError> {
        let part = Part::text(file.content).file_name(file.name);
        let form = fields.into_iter().fold(Form::new(), |form, (name, value)| form.text(name, value));
        perform(self.client.post(self.url(method)).multipart(form.part(file.field, part)), timeout).await
    }

    fn url(&self, method: &str) -> String {
        format!("{}/{method}", self.root.expose())
    }
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Wire")
    }
}

async fn perform(request: RequestBuilder, timeout: Duration) -> Result<Value, ApiError> {
    let response = request.timeout(timeout).send().await.map_err(not_answered)?;
    let status = response.status().as_u16();
    let retry_after = response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
    let body = body(response).await;
    answer::read(answer::Answer { status, retry_after, body: body.as_deref() })
}

/// The whole body, or none if it broke off or is larger than any answer.
async fn body(mut response: Response) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.ok()? {
        if body.len() + chunk.len() > LARGEST_BODY {
            return None;
        }
        body.extend_from_slice(&chunk);
    }
    Some(body)
}

/// No status came. Only where no connection was made is it certain that nothing was done.
fn not_answered(error: reqwest::Error) -> ApiError {
    if error.is_connect() || error.is_builder() {
        ApiError::Unreachable(format!("no connection ({})", cause(error)))
    } else if error.is_timeout() {
        ApiError::Ambiguous("no answer in time".to_owned())
    } else {
        ApiError::Ambiguous(format!("the connection broke ({})", cause(error)))
    }
}

/// The innermost reason: the outer ones name the address, which holds the token.
fn cause(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut innermost: &dyn std::error::Error = &error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

fn check_token(token: &Secret) -> Result<(), ConfigError> {
    if token.is_empty() {
        return Err(ConfigError::NoToken);
    }
    let Some((id, key)) = token.expose().split_once(':') else { return Err(ConfigError::Token) };
    let good = !id.is_empty()
        && id.bytes().all(|byte| byte.is_ascii_digit())
        && !key.is_empty()
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if good { Ok(()) } else { Err(ConfigError::Token) }
}

/// A proxy of the environment is not asked for an address on this very machine.
fn is_loopback(host: &str) -> bool {
    let ip = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(base: &str, token: &str) -> Result<Wire, ConfigError> {
        Wire::new(base, &Secret::new(token))
    }

    #[test]
    fn an_address_or_token_that_cannot_work_is_refused_without_showing_the_token() {
        assert!(made("https://api.telegram.org/", "123:AB-c_d").is_ok());
        assert!(made("http://127.0.0.1:8081/prefix", "123:x").is_ok());
        assert!(matches!(made("api.telegram.org", "123:x"), Err(ConfigError::Url(_))));
        assert!(matches!(made("ftp://host", "123:x"), Err(ConfigError::Url(_))));
        assert!(matches!(made("http://host/?a", "123:x"), Err(ConfigError::Url(_))));
        assert_eq!(made("http://host", " ").unwrap_err(), ConfigError::NoToken);
        for token in ["hunter2", "123:", ":abc", "12a:abc", "123:ab/../c", "123:ab c"] {
            let error = made("http://host", token).unwrap_err();
            assert_eq!(error, ConfigError::Token);
            assert!(!error.to_string().contains(token));
        }
    }

    #[test]
    fn the_token_is_not_in_the_debug_print() {
        let wire = made("http://host", "123:SECRET").unwrap();
        assert_eq!(wire.url("getMe"), "http://host/bot123:SECRET/getMe");
        assert!(!format!("{wire:?}").contains("SECRET"));
    }
}

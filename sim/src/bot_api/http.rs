//! From an HTTP request to a method and back, with faults in between.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Extension, Path, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use axum::{Json, Router};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Shared;
use super::accept::Wire;
use super::faults::{Fault, html_page, wrong_shape};
use super::ledger::Event;
use super::params::{MAX_BODY, Params};
use super::reply::{ApiError, MethodResult};
use super::{control, methods, poll};

/// All routes.
pub fn router(shared: Arc<Shared>, serve_control: bool) -> Router {
    let mut router = Router::new().route("/{bot}/{method}", any(bot_call));
    if serve_control {
        router = router.nest("/control", control::http::router()).route("/control/", get(control::http::help));
    }
    router.fallback(not_found).layer(DefaultBodyLimit::max(MAX_BODY)).with_state(shared)
}

/// Whether `token` looks like one.
pub fn is_token(token: &str) -> bool {
    let Some((id, secret)) = token.split_once(':') else { return false };
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    id.parse::<i64>().is_ok_and(|id| id > 0) && !secret.is_empty() && secret.chars().all(plain) && token.len() <= 80
}

/// A call of the bot, unless the API is out of reach: then the connection ends, also in the middle of a call.
async fn bot_call(
    State(shared): State<Arc<Shared>>,
    Path(path): Path<(String, String)>,
    Extension(wire): Extension<Wire>,
    request: Request,
) -> Response {
    let mut offline = shared.offline.subscribe();
    // The guard that comes back must not be held while the connection ends.
    let out_of_reach = async { drop(offline.wait_for(|offline| *offline).await) };
    tokio::select! {
        biased;
        () = out_of_reach => wire.cut().await,
        response = reached(&shared, path, wire.clone(), request) => response,
    }
}

/// One call, read top to bottom: token, parameters, fault, effect, answer.
async fn reached(shared: &Shared, (bot, method): (String, String), wire: Wire, request: Request) -> Response {
    let Some(token) = bot.strip_prefix("bot") else { return not_found().await };
    if !is_token(token) {
        return answer(&Err(ApiError::new(401, "Unauthorized: invalid token specified")));
    }
    if token != shared.lock().config.token {
        return answer(&Err(ApiError::unauthorized()));
    }
    let began = Instant::now();
    let params = match Params::read(request).await {
        Ok(params) => params,
        Err(error) => return answer(&Err(error)),
    };
    let chat = params.int("chat_id");
    let call = Call { shared, wire, method, params, chat, began };
    let struck = shared.lock().faults.take(&call.method, chat);
    call.wait(struck.before, "before").await;
    match struck.fault {
        None => {
            let result = call.run().await;
            // Noted before the wait: the client may leave meanwhile, and the call has been.
            call.note_result(&result);
            call.wait(struck.after, "after").await;
            answer(&result)
        }
        Some((fault, false)) => {
            call.wait(struck.after, "instead of").await;
            call.fail(fault, None).await
        }
        Some((fault, true)) => {
            let result = call.run().await;
            call.wait(struck.after, "after").await;
            call.fail(fault, Some(&result)).await
        }
    }
}

struct Call<'a> {
    shared: &'a Shared,
    wire: Wire,
    method: String,
    params: Params,
    chat: Option<i64>,
    began: Instant,
}

impl Call<'_> {
    async fn run(&self) -> MethodResult {
        if self.method.eq_ignore_ascii_case("getUpdates") {
            return poll::get_updates(self.shared, &self.params).await;
        }
        methods::call(&mut self.shared.lock(), &self.method, &self.params)
    }

    /// An injected delay.
    async fn wait(&self, delay: Duration, when: &str) {
        if !delay.is_zero() {
            self.note_fault(format!("delay {} ms {when} its effect", delay.as_millis()));
            tokio::time::sleep(delay).await;
        }
    }

    /// Answers wrongly, or not at all.
    async fn fail(&self, fault: Fault, result: Option<&MethodResult>) -> Response {
        let when = if result.is_some() { "after" } else { "before" };
        self.note_fault(format!("{} {when} its effect", fault.name()));
        match fault {
            Fault::Error { code, description, parameters } => {
                let error = ApiError { code, description, parameters };
                self.note(code, Some(error.description.clone()));
                answer(&Err(error))
            }
            Fault::Html { status } => {
                self.note(status, None);
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
                (status, [(header::CONTENT_TYPE, "text/html")], html_page(status.as_u16())).into_response()
            }
            Fault::Garbage => {
                self.note(200, None);
                ([(header::CONTENT_TYPE, "application/json")], "{\"ok\":true,\"resu\u{fffd}lt\":{\"mess")
                    .into_response()
            }
            Fault::WrongShape => {
                self.note(200, None);
                Json(wrong_shape()).into_response()
            }
            Fault::CutBody => {
                self.note(0, None);
                cut_body()
            }
            Fault::Cut | Fault::Delay { .. } => {
                self.note(0, None);
                self.wire.cut().await
            }
        }
    }

    fn note_result(&self, result: &MethodResult) {
        match result {
            Ok(_) => self.note(200, None),
            Err(error) => self.note(error.code, Some(error.description.clone())),
        }
    }

    fn note(&self, status: u16, description: Option<String>) {
        let took_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let params = self.params.fields();
        let event = Event::Call { method: self.method.clone(), params, status, description, took_ms };
        self.shared.lock().note(self.chat, None, event);
    }

    fn note_fault(&self, fault: String) {
        let event = Event::Fault { method: self.method.clone(), fault };
        self.shared.lock().note(self.chat, None, event);
    }
}

fn answer(result: &MethodResult) -> Response {
    match result {
        Ok(result) => Json(json!({ "ok": true, "result": result })).into_response(),
        Err(error) => with_status(error.code, error.body()),
    }
}

fn with_status(code: u16, body: Value) -> Response {
    (StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), Json(body)).into_response()
}

/// Half of an answer, then the end of the connection.
fn cut_body() -> Response {
    let half = Bytes::from_static(b"{\"ok\":true,\"result\":{\"message_id\":");
    let broken = async {
        // Lets the half go out; otherwise the server would drop it, head and all.
        tokio::task::yield_now().await;
        Err(std::io::Error::other("an injected fault ends this answer"))
    };
    let body = Body::from_stream(stream::iter([Ok(half)]).chain(stream::once(broken)));
    ([(header::CONTENT_TYPE, "application/json"), (header::CONTENT_LENGTH, "400")], body).into_response()
}

async fn not_found() -> Response {
    answer(&Err(ApiError::new(404, "Not Found")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_digits_a_colon_and_letters() {
        assert!(is_token("110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"));
        for bad in ["", "abc", "1:", ":a", "x:a", "1:a/b", "1:a b", "0:a"] {
            assert!(!is_token(bad), "{bad}");
        }
    }
}

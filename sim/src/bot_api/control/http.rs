//! The control interface over HTTP, under `/control`: JSON in, JSON out, for scripts and a web page.
//!
//! - `POST /control/act`: one [`Act`].
//! - `POST /control/faults`: a fault rule; `GET` lists them, `DELETE` drops them.
//! - `GET /control/ledger?since=0&chat=5&limit=1000`: lines after `since`.
//! - `GET /control/events?since=0`: lines as they come, one JSON object a line, until the client leaves.
//! - `GET /control/state`: figures.
//!
//! A request from a web page of another site is refused: whoever can reach the port from a browser must not be able
//! to play users.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Query, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::Shared;
use super::super::faults::FaultRule;
use super::super::ledger::Entry;
use super::super::play::{self, Item, Media, PlayError, Sent};
use super::super::updates::BatchFault;
use super::Control;

/// Lines of one answer at most.
const MAX_LINES: usize = 10_000;

/// The routes, to be nested under `/control`.
pub fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/", get(help))
        .route("/act", post(act))
        .route("/faults", get(faults).post(add_fault).delete(clear_faults))
        .route("/ledger", get(ledger))
        .route("/events", get(events))
        .route("/state", get(figures))
        .layer(from_fn(refuse_other_sites))
}

/// What can be asked here, for a person with curl.
const HELP: &str = r#"The emulator's control interface. JSON in, JSON out.

POST   /control/act     one thing to do:
  {"do":"user","user":7,"name":"Anna"}                        makes a person; all others do so, too, where they need one
  {"do":"say","user":7,"name":"Anna","text":"hello"}          also "chat" (a group), "reply_to"
  {"do":"send","user":7,"media":"voice"}                      photo, sticker, video, document, ...; also "caption",
                                                              "album", "chat" (a group)
  {"do":"edit","user":7,"message_id":3,"text":"hello!"}
  {"do":"press","user":7,"button":"Yes"}                      by data or text; also "message_id"
  {"do":"stop_draft","user":7}   {"do":"block","user":7}   {"do":"unblock","user":7}
  {"do":"create_group","user":7,"title":"friends"}            says the group's id, of the first one -4000001
  {"do":"join","user":8,"chat":-4000001}   {"do":"migrate","chat":-4000001,"silent":false}
  {"do":"raw_update","update":"telepathy","payload":{}}
  {"do":"spoil_batch","how":"duplicated"}                     or reversed, redelivered
  {"do":"restart_update_ids"}   {"do":"offline","offline":true}   {"do":"set_webhook","url":"https://example.org"}
POST   /control/faults  {"method":"sendMessage","fault":"cut","after_effect":true,"times":1,"skip":0,"chat":7}
                        faults: cut, cut_body, garbage, wrong_shape, html (status), error (code, description,
                        parameters), delay (ms); with "after_effect" a delay holds back the answer
GET    /control/faults  rules in force            DELETE /control/faults  drops them
GET    /control/ledger?since=0&chat=7&limit=100   what people did and saw, and every call of the bot
GET    /control/events?since=0&chat=7             the same as it happens, one JSON object a line
GET    /control/state   figures
"#;

/// [`HELP`].
pub async fn help() -> &'static str {
    HELP
}

/// Something to do, tagged by `do`.
#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
enum Act {
    /// Makes a person, or finds them.
    User { user: i64, name: Option<String> },
    /// A person writes, to the bot or in the group `chat`.
    Say { user: i64, name: Option<String>, text: String, chat: Option<i64>, reply_to: Option<i64> },
    /// A person sends something that is not text; what names the same `album` belongs together.
    Send {
        user: i64,
        name: Option<String>,
        media: Media,
        caption: Option<String>,
        album: Option<String>,
        chat: Option<i64>,
    },
    /// A person makes a group with the bot in it.
    CreateGroup { user: i64, name: Option<String>, title: String },
    /// A person joins a group.
    Join { user: i64, name: Option<String>, chat: i64 },
    /// A group becomes a supergroup; `silent`: the bot learns it only from its next send.
    Migrate {
        chat: i64,
        #[serde(default)]
        silent: bool,
    },
    /// A person changes a message.
    Edit { user: i64, message_id: i64, text: String },
    /// A person presses a button, by data or text.
    Press { user: i64, button: String, message_id: Option<i64> },
    /// A person presses Stop.
    StopDraft { user: i64 },
    /// A person blocks the bot.
    Block { user: i64 },
    /// A person unblocks the bot.
    Unblock { user: i64 },
    /// The bot gets any update.
    RawUpdate { update: String, payload: Value },
    /// The next batch of updates is spoilt.
    SpoilBatch { how: BatchFault },
    /// Update ids go on from a random place.
    RestartUpdateIds,
    /// The API is out of reach, or back.
    Offline { offline: bool },
    /// Polls end with 409 until `deleteWebhook`.
    SetWebhook { url: String },
}

async fn act(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    let act = match serde_json::from_slice::<Act>(&body) {
        Ok(act) => act,
        Err(error) => return bad(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    match perform(&Control::new(shared), act) {
        Ok(result) => Json(json!({ "ok": true, "result": result })).into_response(),
        Err(error) => bad(StatusCode::CONFLICT, &error.to_string()),
    }
}

fn perform(control: &Control, act: Act) -> Result<Value, PlayError> {
    let user = |id: i64, name: Option<String>| control.user(id, name.as_deref().unwrap_or("Friend"));
    let sent = |sent: Sent| json!(sent);
    Ok(match act {
        Act::User { user: id, name } => json!({ "user": user(id, name).id() }),
        Act::Say { user: id, name, text, chat, reply_to } => {
            let user = user(id, name).id();
            sent(play::say(&mut control.shared.lock(), user, chat.unwrap_or(user), &text, reply_to)?)
        }
        Act::Send { user: id, name, media, caption, album, chat } => {
            let user = user(id, name).id();
            let item = Item { media, caption: caption.as_deref(), album: album.as_deref() };
            sent(play::send(&mut control.shared.lock(), user, chat.unwrap_or(user), item)?)
        }
        Act::CreateGroup { user: id, name, title } => {
            json!({ "chat": control.group(&title, &user(id, name))?.id() })
        }
        Act::Join { user: id, name, chat } => {
            let user = user(id, name).id();
            let mut state = control.shared.lock();
            let group = state.chats.get_mut(&chat).filter(|known| known.is_group()).ok_or(PlayError::NoChat(chat))?;
            json!(group.members.insert(user))
        }
        Act::Migrate { chat, silent } => json!({ "chat": play::migrate(&mut control.shared.lock(), chat, silent)? }),
        Act::Edit { user: id, message_id, text } => sent(user(id, None).edit(message_id, &text)?),
        Act::Press { user: id, button, message_id: None } => sent(user(id, None).press(&button)?),
        Act::Press { user: id, button, message_id: Some(on) } => sent(user(id, None).press_on(on, &button)?),
        Act::StopDraft { user: id } => sent(user(id, None).stop_draft()?),
        Act::Block { user: id } => sent(user(id, None).block()),
        Act::Unblock { user: id } => sent(user(id, None).unblock()),
        Act::RawUpdate { update, payload } => json!({ "update_id": control.raw_update(&update, payload) }),
        Act::SpoilBatch { how } => {
            control.spoil_batch(how);
            json!(true)
        }
        Act::RestartUpdateIds => json!({ "next_update_id": control.restart_update_ids() }),
        Act::Offline { offline } => {
            control.set_offline(offline);
            json!(true)
        }
        Act::SetWebhook { url } => {
            control.set_webhook(&url);
            json!(true)
        }
    })
}

async fn faults(State(shared): State<Arc<Shared>>) -> Json<Vec<FaultRule>> {
    Json(Control::new(shared).pending_faults())
}

async fn add_fault(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    match serde_json::from_slice(&body) {
        Ok(rule) => {
            Control::new(shared).inject(rule);
            Json(json!({ "ok": true })).into_response()
        }
        Err(error) => bad(StatusCode::BAD_REQUEST, &error.to_string()),
    }
}

async fn clear_faults(State(shared): State<Arc<Shared>>) -> Json<Value> {
    Control::new(shared).clear_faults();
    Json(json!({ "ok": true }))
}

#[derive(Debug, Deserialize)]
struct Range {
    #[serde(default)]
    since: u64,
    chat: Option<i64>,
    limit: Option<usize>,
}

async fn ledger(State(shared): State<Arc<Shared>>, Query(range): Query<Range>) -> Json<Value> {
    let mut lines = Control::new(shared).ledger(range.since);
    lines.retain(|entry| range.chat.is_none_or(|chat| entry.chat == Some(chat)));
    lines.truncate(range.limit.unwrap_or(MAX_LINES).min(MAX_LINES));
    Json(json!(lines.iter().map(AsRef::as_ref).collect::<Vec<&Entry>>()))
}

async fn events(State(shared): State<Arc<Shared>>, Query(range): Query<Range>) -> Response {
    let newest = shared.lock().ledger.watch();
    let control = Control::new(shared);
    let lines = futures_util::stream::unfold((control, newest, range), |(control, mut newest, mut range)| async move {
        loop {
            newest.mark_unchanged();
            let fresh = control.ledger(range.since);
            range.since = fresh.last().map_or(range.since, |entry| entry.seq);
            let wanted = fresh.iter().filter(|entry| range.chat.is_none_or(|chat| entry.chat == Some(chat)));
            let text: String =
                wanted.filter_map(|entry| Some(serde_json::to_string(entry.as_ref()).ok()? + "\n")).collect();
            if !text.is_empty() {
                return Some((Ok::<_, Infallible>(text), (control, newest, range)));
            }
            newest.changed().await.ok()?;
        }
    });
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response()
}

async fn figures(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let state = shared.lock();
    Json(json!({
        "bot": state.bot_json(),
        "users": state.people.len(),
        "chats": state.chats.len(),
        "pending_updates": state.updates.len(),
        "poll_waiting": state.waiting_poll.as_ref().is_some_and(|poll| !poll.is_closed()),
        "commands": state.commands,
        "last_seq": state.ledger.last_seq(),
    }))
}

async fn refuse_other_sites(request: Request, next: Next) -> Response {
    let own = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let origin = request.headers().get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
    if origin.is_some_and(|origin| origin != format!("http://{own}") && origin != format!("https://{own}")) {
        return bad(StatusCode::FORBIDDEN, "requests from other sites are refused");
    }
    next.run(request).await
}

fn bad(status: StatusCode, error: &str) -> Response {
    (status, Json(json!({ "ok": false, "error": error }))).into_response()
}

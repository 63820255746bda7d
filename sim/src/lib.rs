//! The other side of the wire: a Telegram Bot API emulator, and simulated users. Knows nothing of the bot.
//!
//! # The emulator
//!
//! [`bot_api::BotApi::start`] serves the Bot API (10.3) on loopback, in this process, on the current tokio runtime. A
//! bot talks to it as it would to `https://api.telegram.org`: `POST <url>/bot<token>/<method>`, parameters as JSON,
//! form, query or multipart. Answers, limits and the errors' words follow the documented API and the public server.
//!
//! ```no_run
//! # use std::time::Duration;
//! # use friend_sim::bot_api::{BotApi, Config, Fault, FaultRule, Limits};
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let server = BotApi::start(Config { limits: Limits::off(), ..Config::default() }).await?;
//! println!("TG_API_URL={}", server.url()); // the token is friend_sim::bot_api::DEFAULT_TOKEN
//!
//! let control = server.control();
//! let anna = control.user(1001, "Anna");
//! let said = anna.say("hello");
//! let (answer, seq) = anna.next_message(said.seq, Duration::from_secs(10)).await?;
//!
//! control.inject(FaultRule::new("sendMessage", Fault::Cut).after_effect());
//! let mut live = control.subscribe(); // typing, growing drafts, messages, calls, as they happen
//! # Ok(()) }
//! ```
//!
//! - Methods: `getMe`, `getUpdates`, `sendMessage`, `editMessageText`, `editMessageReplyMarkup`, `deleteMessage`,
//!   `sendMessageDraft`, `sendChatAction`, `setMessageReaction`, `answerCallbackQuery`, `sendDocument`,
//!   `setMyCommands`, `getMyCommands`, `deleteMyCommands`, `getWebhookInfo`, `deleteWebhook`. Any other is 404.
//! - [`bot_api::Control`] plays people ([`bot_api::User`], [`bot_api::Group`]), injects [`bot_api::Fault`]s (also
//!   spoilt batches, restarted update ids, unknown updates, a webhook, an API out of reach), and reads the ledger.
//! - The ledger ([`bot_api::Entry`]) holds with times what each person did, what each saw (messages, edits, drafts,
//!   typing, reactions, notices) and each call of the bot. Wait with [`bot_api::Control::wait_for`] and
//!   [`bot_api::User::next_message`]; follow it with [`bot_api::Control::subscribe`].
//! - The same over HTTP under `/control/…`: `POST act`, `GET/POST/DELETE faults`, `GET ledger`, `GET events`
//!   (one JSON object a line, live), `GET state`.
//! - Time is tokio's: drafts live 30 s, chat actions 5 s, updates 24 h, and [`bot_api::Config`] shortens each.
//!
//! # Load
//!
//! [`scenario::Scenario`] plays many users against whatever bot polls the emulator, and [`report::Report`] says how it
//! went: replies/s, time to the first text, time to the full answer, both from the moment of writing and from the
//! moment the message was due. Start the emulator with [`bot_api::Config::for_load`] for it, and tell the scenario how the
//! bot's messages begin that are no answers (`put_off`, `apologies`), or they count as such.
//!
//! ```no_run
//! # use friend_sim::{report::Report, scenario::Scenario};
//! # async fn example(control: &friend_sim::bot_api::Control) {
//! println!("{}", Report::heading());
//! for users in [1, 8, 32] {
//!     let scenario = Scenario { users, first_user: 5_000_000 + 1000 * users as i64, ..Scenario::default() };
//!     println!("{}", scenario.run(control).await);
//! }
//! # }
//! ```
//!
//! # Guesses
//!
//! Where Telegram documents no behaviour, the emulator's is a guess, and the code says so there: the words of the
//! draft errors, the flood limit of drafts, and that nothing more is shown of a draft that was stopped.

pub mod bot_api;
pub mod report;
pub mod scenario;
pub mod script;
pub mod user;

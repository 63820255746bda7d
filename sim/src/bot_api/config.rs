//! What the emulator is told at its start.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// The token that a bot must use unless [`Config::token`] says otherwise. No real bot has it.
pub const DEFAULT_TOKEN: &str = "110201543:AAEmulatorTokenThatNoRealBotHasAtAll";

/// Settings of one emulator. `Config::default()` behaves like Telegram and takes a free port of 127.0.0.1.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen; port 0 takes any free one.
    pub listen: SocketAddr,
    /// The only token accepted: `<digits>:<letters>`. The digits are the bot's user id.
    pub token: String,
    /// The bot's first name, in `getMe` and in messages.
    pub bot_name: String,
    /// The bot's user name, without `@`.
    pub bot_username: String,
    /// Whether the bot receives every message of a group (privacy mode off, the harder case), or only
    /// commands, mentions and replies to itself.
    pub reads_all_group_messages: bool,
    /// How often the bot may send.
    pub limits: Limits,
    /// How long an unfetched update is kept. Telegram: 24 hours.
    pub update_ttl: Duration,
    /// How long a draft stays after its last change. Telegram: 30 seconds.
    pub draft_ttl: Duration,
    /// How long a chat action ("typing…") stays. Telegram: 5 seconds.
    pub action_ttl: Duration,
    /// How long a callback query can be answered. Telegram: about 15 minutes.
    pub callback_ttl: Duration,
    /// Seeds update ids, file ids and restarts of ids.
    pub seed: u64,
    /// Entries that the ledger keeps; the oldest leave first.
    pub ledger_capacity: usize,
    /// Updates that wait for the bot at most; the oldest leave first.
    pub max_pending_updates: usize,
    /// Messages that a chat keeps at most; the oldest leave first.
    pub max_messages_a_chat: usize,
    /// Whether `/control/…` is served. On a public address it must not be.
    pub serve_control: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            token: DEFAULT_TOKEN.to_owned(),
            bot_name: "Arthur".to_owned(),
            bot_username: "arthur_friend_bot".to_owned(),
            reads_all_group_messages: true,
            limits: Limits::telegram(),
            update_ttl: Duration::from_secs(24 * 3600),
            draft_ttl: Duration::from_secs(30),
            action_ttl: Duration::from_secs(5),
            callback_ttl: Duration::from_secs(15 * 60),
            seed: 0,
            ledger_capacity: 200_000,
            max_pending_updates: 100_000,
            max_messages_a_chat: 1_000,
            serve_control: true,
        }
    }
}

impl Config {
    /// For load tests: no flood limits, as Telegram's would be measured instead of the bot, and a ledger of a tenth. What
    /// it keeps lies in the process whose memory is measured, and simulated users read it as it is written.
    pub fn for_load() -> Self {
        Self { limits: Limits::off(), ledger_capacity: 20_000, ..Self::default() }
    }

    /// The bot's user id: the digits before the token's colon.
    pub fn bot_id(&self) -> i64 {
        self.token.split(':').next().and_then(|digits| digits.parse().ok()).unwrap_or(1)
    }
}

/// How often something may happen: `count` in every `per`, after a burst of `burst` at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Events in `per`.
    pub count: u32,
    /// The period.
    pub per: Duration,
    /// Events at once after a pause.
    pub burst: u32,
}

/// Flood limits; `None` switches one off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Messages and edits to one chat.
    pub per_chat: Option<Rate>,
    /// Messages and edits to one group, besides `per_chat`.
    pub per_group: Option<Rate>,
    /// Messages and edits of the bot.
    pub overall: Option<Rate>,
    /// Drafts to one chat. Telegram does not document its figure; ours is a guess on the lenient side.
    pub drafts: Option<Rate>,
}

impl Limits {
    /// As Telegram's FAQ gives them: about one message a second to a chat with short bursts, 20 a minute to a
    /// group, about 30 a second over all.
    pub fn telegram() -> Self {
        let second = Duration::from_secs(1);
        Self {
            per_chat: Some(Rate { count: 1, per: second, burst: 3 }),
            per_group: Some(Rate { count: 20, per: Duration::from_secs(60), burst: 20 }),
            overall: Some(Rate { count: 30, per: second, burst: 30 }),
            drafts: Some(Rate { count: 10, per: second, burst: 30 }),
        }
    }

    /// No limit at all, for load tests.
    pub fn off() -> Self {
        Self { per_chat: None, per_group: None, overall: None, drafts: None }
    }
}

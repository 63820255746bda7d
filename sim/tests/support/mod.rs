//! What the tests share: an emulator and a bare HTTP client that plays the bot.
#![allow(dead_code, reason = "not every test file uses all of it")]

use std::time::Duration;

use friend_sim::bot_api::{BotApi, Config, Control, Limits, Server};
use serde_json::{Value, json};

/// Longer than anything takes here; only a defect lets it pass.
pub const SOON: Duration = Duration::from_secs(20);

/// An emulator and a client.
pub struct World {
    pub server: Server,
    pub control: Control,
    pub bot: Bot,
}

/// The bot's side of the wire.
#[derive(Clone)]
pub struct Bot {
    pub client: reqwest::Client,
    pub base: String,
}

impl World {
    pub async fn new() -> Self {
        Self::with(Config { limits: Limits::off(), ..Config::default() }).await
    }

    pub async fn with(config: Config) -> Self {
        let token = config.token.clone();
        let server = BotApi::start(config).await.expect("a free port");
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let bot = Bot { client, base: format!("{}/bot{token}", server.url()) };
        Self { control: server.control(), server, bot }
    }

    /// Returns when a long poll waits.
    pub async fn until_poll_waits(&self) {
        let url = format!("{}/control/state", self.server.url());
        for _ in 0..5000 {
            let state: Value = self.bot.client.get(&url).send().await.expect("an answer").json().await.expect("JSON");
            if state["poll_waiting"] == true {
                return;
            }
        }
        panic!("no poll waits");
    }
}

impl Bot {
    /// Calls with a JSON body; the status and the answer's JSON.
    pub async fn call(&self, method: &str, params: Value) -> (u16, Value) {
        self.try_call(method, params).await.expect("an answer")
    }

    /// Calls and lets failures of the connection through.
    pub async fn try_call(&self, method: &str, params: Value) -> Result<(u16, Value), reqwest::Error> {
        let url = format!("{}/{method}", self.base);
        let response = self.client.post(url).json(&params).send().await?;
        Ok((response.status().as_u16(), response.json().await?))
    }

    /// Calls and expects success; the result.
    pub async fn ok(&self, method: &str, params: Value) -> Value {
        let (status, mut answer) = self.call(method, params).await;
        assert!(status == 200 && answer["ok"] == true, "{method}: {answer}");
        answer["result"].take()
    }

    /// Calls and expects an error: its code and description.
    pub async fn err(&self, method: &str, params: Value) -> (u64, String) {
        let (status, answer) = self.call(method, params).await;
        assert_eq!(answer["ok"], false, "{method}: {answer}");
        assert_eq!(answer["error_code"], status);
        (answer["error_code"].as_u64().expect("a code"), answer["description"].as_str().expect("words").to_owned())
    }

    /// Updates that wait, without confirming any.
    pub async fn updates(&self) -> Vec<Value> {
        self.ok("getUpdates", json!({})).await.as_array().expect("a list").clone()
    }
}

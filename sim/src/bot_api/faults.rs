//! Faults: rules that say which calls go wrong, how, and whether before or after their effect.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::reply::ApiError;

/// Rules that wait at most; a further one drops the oldest.
const MAX_RULES: usize = 1000;

/// How a call goes wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum Fault {
    /// An answer in the API's own JSON, with any code: 429, 500, 502, …
    Error {
        /// HTTP status and `error_code`.
        code: u16,
        /// With its prefix.
        description: String,
        /// `retry_after`, `migrate_to_chat_id`, or anything.
        #[serde(default)]
        parameters: Option<Value>,
    },
    /// A web server's page instead of JSON, as a gateway in between sends it.
    Html {
        /// HTTP status: 502, 503, 504, …
        status: u16,
    },
    /// 200 with a body that is no JSON.
    Garbage,
    /// 200 with JSON that is not the method's result.
    WrongShape,
    /// The connection ends without an answer.
    Cut,
    /// The connection ends in the middle of the answer.
    CutBody,
    /// The call waits, then goes on as if nothing had been. After its effect it is the answer that waits: for a client
    /// with less patience the call has timed out, but what it sent has arrived.
    Delay {
        /// Milliseconds.
        ms: u64,
    },
}

impl Fault {
    /// 429 with `retry_after` in seconds.
    pub fn too_many_requests(retry_after: u64) -> Self {
        let error = ApiError::too_many_requests(Duration::from_secs(retry_after));
        Self::Error { code: error.code, description: error.description, parameters: error.parameters }
    }

    /// 500 in the API's own JSON.
    pub fn internal() -> Self {
        Self::Error { code: 500, description: "Internal Server Error".to_owned(), parameters: None }
    }

    /// The fault's name, for the ledger.
    pub fn name(&self) -> String {
        match self {
            Self::Error { code, .. } => format!("error {code}"),
            Self::Html { status } => format!("html {status}"),
            Self::Garbage => "garbage".to_owned(),
            Self::WrongShape => "wrong shape".to_owned(),
            Self::Cut => "cut".to_owned(),
            Self::CutBody => "cut in the body".to_owned(),
            Self::Delay { ms } => format!("delay {ms} ms"),
        }
    }
}

/// Which calls a fault strikes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FaultRule {
    /// The method, in any case; absent means every method.
    #[serde(default)]
    pub method: Option<String>,
    /// Only calls with this `chat_id`.
    #[serde(default)]
    pub chat: Option<i64>,
    /// Matching calls that pass before the first is struck.
    #[serde(default)]
    pub skip: u32,
    /// Calls struck.
    #[serde(default = "one")]
    pub times: u32,
    /// Whether the call takes effect although its answer is lost or wrong.
    #[serde(default)]
    pub after_effect: bool,
    /// What happens.
    #[serde(flatten)]
    pub fault: Fault,
}

fn one() -> u32 {
    1
}

impl FaultRule {
    /// Strikes the next call of `method`, before it takes effect.
    pub fn new(method: &str, fault: Fault) -> Self {
        Self { method: Some(method.to_owned()), chat: None, skip: 0, times: 1, after_effect: false, fault }
    }

    /// Strikes any method.
    pub fn any(fault: Fault) -> Self {
        Self { method: None, ..Self::new("", fault) }
    }

    /// Strikes so many calls.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self { times, ..self }
    }

    /// Lets so many calls pass first.
    #[must_use]
    pub fn skip(self, skip: u32) -> Self {
        Self { skip, ..self }
    }

    /// Strikes calls to this chat only.
    #[must_use]
    pub fn chat(self, chat: i64) -> Self {
        Self { chat: Some(chat), ..self }
    }

    /// Strikes when the call has already taken effect.
    #[must_use]
    pub fn after_effect(self) -> Self {
        Self { after_effect: true, ..self }
    }

    fn matches(&self, method: &str, chat: Option<i64>) -> bool {
        self.method.as_ref().is_none_or(|name| name.eq_ignore_ascii_case(method))
            && self.chat.is_none_or(|id| chat == Some(id))
    }
}

/// The rules in force, oldest first.
#[derive(Debug, Default)]
pub struct Faults(Vec<FaultRule>);

impl Faults {
    /// Adds a rule behind the others.
    pub fn add(&mut self, rule: FaultRule) {
        if self.0.len() == MAX_RULES {
            self.0.remove(0);
        }
        self.0.push(rule);
    }

    /// Drops all rules.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Rules that have not struck all their calls yet.
    pub fn rules(&self) -> &[FaultRule] {
        &self.0
    }

    /// What strikes this call.
    pub fn take(&mut self, method: &str, chat: Option<i64>) -> Struck {
        let mut struck = Struck::default();
        for rule in &mut self.0 {
            if struck.fault.is_some() || !rule.matches(method, chat) || rule.times == 0 {
                continue;
            }
            if rule.skip > 0 {
                rule.skip -= 1;
                continue;
            }
            rule.times -= 1;
            match &rule.fault {
                Fault::Delay { ms } if rule.after_effect => struck.after += Duration::from_millis(*ms),
                Fault::Delay { ms } => struck.before += Duration::from_millis(*ms),
                fault => struck.fault = Some((fault.clone(), rule.after_effect)),
            }
        }
        self.0.retain(|rule| rule.times > 0);
        struck
    }
}

/// What strikes one call: the delays of rules at the front, and at most one other fault.
#[derive(Debug, Default, PartialEq)]
pub struct Struck {
    /// Before the call takes effect, summed.
    pub before: Duration,
    /// Before the answer, summed.
    pub after: Duration,
    /// How it goes wrong, and whether the call takes effect all the same.
    pub fault: Option<(Fault, bool)>,
}

/// The page that a gateway sends when the server behind it does not answer.
pub fn html_page(status: u16) -> String {
    let reason = match status {
        502 => "Bad Gateway",
        503 => "Service Temporarily Unavailable",
        504 => "Gateway Time-out",
        _ => "Error",
    };
    format!(
        "<html>\r\n<head><title>{status} {reason}</title></head>\r\n<body>\r\n<center><h1>{status} {reason}</h1></center>\r\n\
         <hr><center>nginx/1.18.0</center>\r\n</body>\r\n</html>\r\n"
    )
}

/// A successful answer whose result fits no method.
pub fn wrong_shape() -> Value {
    json!({ "ok": true, "result": { "surprise": [1, "two", null] } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_strikes_the_calls_it_names_and_no_other() {
        let mut faults = Faults::default();
        faults.add(FaultRule::new("sendMessage", Fault::Cut).chat(5).skip(1).times(2).after_effect());
        let mut struck = |method, chat| faults.take(method, Some(chat)).fault.is_some();
        assert!(!struck("getMe", 5) && !struck("sendMessage", 6));
        assert!(!struck("sendMessage", 5), "the first passes");
        assert!(struck("sendmessage", 5) && struck("SENDMESSAGE", 5));
        assert!(!struck("sendMessage", 5), "two were ordered");
        assert!(faults.rules().is_empty());
    }

    #[test]
    fn a_delay_adds_to_another_fault_instead_of_hiding_it() {
        let mut faults = Faults::default();
        faults.add(FaultRule::any(Fault::Delay { ms: 20 }));
        faults.add(FaultRule::any(Fault::internal()));
        let struck = faults.take("getMe", None);
        let before = Duration::from_millis(20);
        assert_eq!(struck, Struck { before, fault: Some((Fault::internal(), false)), ..Struck::default() });
    }

    #[test]
    fn a_rule_can_be_written_as_json() {
        let rule: FaultRule =
            serde_json::from_value(json!({ "method": "getUpdates", "fault": "html", "status": 502, "times": 3 }))
                .unwrap();
        assert_eq!(rule, FaultRule::new("getUpdates", Fault::Html { status: 502 }).times(3));
    }
}

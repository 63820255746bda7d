//! One answer from the engine: asks, shows it growing, listens for news, tries again where that helps.

use std::time::Duration;

use friend_gguf::request::{GenerateError, Request, SubmitError, Ticket, Usage};
use tokio::time::sleep;

use crate::conversation::{Chat, Desk, owner};
use crate::known::about_them;
use crate::llm::Generate;
use crate::messages::{Preview, Typing};
use crate::ports::{Pending, StoreError};
use crate::reception::{News, Pressing, news};
use crate::reply::{finished, preview, sentences};
use crate::safety::rejoices;
use crate::supervisor::backoff;
use crate::texts::{fill, spoken};
use crate::types::{Role, Turn};

/// What is to be answered, and how.
pub(crate) struct Generation<'a> {
    pub desk: &'a Desk,
    pub chat: &'a Chat<'a>,
    pub inbox: &'a [Pending],
    pub mode: &'a str,
    /// The person's newest turn.
    pub person: &'a Turn,
    /// What is said before the answer, written beforehand.
    pub first: &'a str,
    /// Whether an answer that rejoices is not to be said.
    pub sober: bool,
}

/// How it ended.
pub(crate) enum Generated {
    /// A reply to send.
    Whole { text: String, usage: Usage },
    /// The person stopped it; what was written so far, and the rows that said so.
    Stopped { text: String, rows: Vec<i64> },
    /// New words came: the answer is out of date.
    Outdated,
    /// So is it by something that may not wait, however often it was begun before.
    Pressed,
    /// A wish to start over came: nobody wants it any more.
    Overtaken,
    /// The process is shutting down.
    Closing,
    /// Nothing helps: apologise.
    GaveUp,
}

/// One attempt that gave no reply.
enum Attempt {
    Ended(Generated),
    /// The engine is full; about this long.
    Overloaded(Duration),
    /// The engine still frees this owner's last request, or is just restarting.
    NotReady,
    /// It took too long.
    Expired,
    /// The newest message alone is too long; this share of it fits.
    TooLong(f64),
    /// It rejoices at a sorrow.
    Tactless,
    /// An empty reply, or a failing model.
    Failed,
}

/// Attempts with an answer of the engine, before apologising.
const ATTEMPTS: u32 = 4;

/// Answers drawn anew because they rejoiced, before a written one is said.
const REDRAWS: u32 = 2;

/// Cuts of a message that is too long, before apologising. Each leaves at most nine tenths; most need two.
const CUTS: u32 = 12;

impl Generation<'_> {
    /// Tries until there is a reply, or nothing helps.
    ///
    /// # Errors
    /// Only the store's.
    pub async fn run(&self) -> Result<Generated, StoreError> {
        let mut person = self.person.clone();
        let mut facts = self.chat.state.profile.facts.len();
        let (mut attempt, mut waits, mut cuts, mut tactless) = (0, 0, 0, 0);
        // Of a flood not all was seen, and its wake-ups are heard.
        if self.inbox.len() >= self.desk.config.inbox_rows
            && let Some(ended) = self.heed("").await?
        {
            return Ok(ended);
        }
        while attempt < ATTEMPTS && cuts < CUTS {
            let wait = match self.attempt(&person, facts, attempt + tactless).await? {
                Attempt::Ended(generated) => return Ok(generated),
                Attempt::Overloaded(wait) => {
                    self.tell_wait(&self.busy(wait)).await?;
                    wait.clamp(Duration::from_millis(200), Duration::from_secs(15))
                }
                Attempt::NotReady => {
                    waits += 1;
                    backoff(Duration::from_millis(20), Duration::from_secs(5), waits)
                }
                Attempt::Expired => {
                    attempt += 2;
                    Duration::from_secs(1)
                }
                Attempt::Tactless => {
                    tactless += 1;
                    self.desk.observer.tactless();
                    // Greedily drawn it would be the same again.
                    if tactless > REDRAWS || !self.desk.persona.sampling.do_sample {
                        let text = self.desk.comfort(self.chat);
                        return Ok(Generated::Whole { text, usage: Usage::default() });
                    }
                    Duration::ZERO
                }
                // In scripts of many tokens a character a few facts fill a small context.
                Attempt::TooLong(_) if facts > 0 => {
                    facts /= 2;
                    Duration::ZERO
                }
                Attempt::TooLong(share) => {
                    cuts += 1;
                    person.text = newest_share(&person.text, share);
                    Duration::ZERO
                }
                Attempt::Failed => {
                    attempt += 1;
                    backoff(Duration::from_millis(50), Duration::from_secs(2), attempt)
                }
            };
            if let Some(ended) = self.wait(wait).await? {
                return Ok(ended);
            }
        }
        tracing::warn!(
            attempts = attempt,
            cuts,
            "no answer could be made: the model gives none, or its context is too short"
        );
        Ok(Generated::GaveUp)
    }

    async fn attempt(&self, person: &Turn, facts: usize, attempt: u32) -> Result<Attempt, StoreError> {
        // Of several attempts each lasts as long as it may: typing is never forgotten before they are.
        let typing = Typing { chat: self.chat.id, topic: self.chat.topic, on: true };
        let _ = self.desk.outbox.typing.try_send(typing);
        match self.desk.llm.send(Generate(self.request(person, facts, attempt))).await {
            Ok(Ok(ticket)) => self.follow(ticket).await,
            Ok(Err(SubmitError::Overloaded { wait, .. })) => Ok(Attempt::Overloaded(wait)),
            Ok(Err(SubmitError::Busy | SubmitError::Stopped)) | Err(_) => Ok(Attempt::NotReady),
        }
    }

    /// With the newest `facts` of what is known of the person.
    fn request(&self, person: &Turn, facts: usize, attempt: u32) -> Request {
        let Desk { persona, template, config, .. } = self.desk;
        let mode = &persona.modes[self.mode];
        let mut turns = self.chat.state.turns.clone();
        turns.push(person.clone());
        // A conversation opens with the person: templates that insist on it would refuse our greeting.
        let opening = turns.iter().position(|turn| turn.role == Role::Person).unwrap_or(0);
        let known = &self.chat.state.profile.facts;
        let about: Vec<_> = known[known.len() - facts..].iter().map(|fact| about_them(&fact.text)).collect();
        let first_row = self.chat.rows.first().copied().unwrap_or_default().cast_unsigned();
        Request {
            owner: owner(self.chat.id),
            prompt: template.prompt(persona, mode, &about, &turns[opening..]),
            sampling: persona.sampling.sampling(),
            stop: template.stop(),
            min_new_tokens: mode.min_new_tokens,
            max_new_tokens: persona.sampling.max_new_tokens,
            seed: first_row.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(u64::from(attempt)),
            time_limit: config.reply_deadline,
        }
    }

    /// Reads the stream to its end, unless news or shutdown come first.
    async fn follow(&self, mut ticket: Ticket) -> Result<Attempt, StoreError> {
        let (mut text, mut checked) = (String::new(), 0);
        let after = self.desk.config.tell_wait_after;
        let patience = sleep(after);
        tokio::pin!(patience);
        loop {
            tokio::select! {
                biased;
                () = self.desk.cut.cancelled() => {
                    ticket.cancel.cancel();
                    return Ok(Attempt::Ended(Generated::Closing));
                }
                () = self.chat.bell.news.notified() => if let Some(ended) = self.heed(&text).await? {
                    ticket.cancel.cancel();
                    if !matches!(ended, Generated::Stopped { .. }) {
                        self.desk.observer.outdated();
                    }
                    return Ok(Attempt::Ended(ended));
                },
                more = ticket.text.recv() => match more {
                    Some(more) => {
                        text.push_str(&more);
                        let shown = self.shown(&text);
                        if shown.len() > checked && self.is_tactless(shown) {
                            ticket.cancel.cancel();
                            return Ok(Attempt::Tactless);
                        }
                        checked = shown.len();
                        self.show(&text);
                    }
                    None => break,
                },
                // Silence would look as if nobody had heard. With nobody ahead it is the model that is slow.
                () = &mut patience, if text.is_empty() && !self.chat.told.get() => match ticket.wait {
                    Duration::ZERO => self.tell_wait(&self.desk.persona.texts.slow).await?,
                    wait => self.tell_wait(&self.busy(wait.saturating_sub(after))).await?,
                },
            }
        }
        Ok(match ticket.done.await {
            Ok(Ok(completion)) => {
                let text = finished(&completion, self.desk.persona.sampling.whole_sentences);
                let usage = completion.usage;
                if text.is_empty() {
                    Attempt::Failed
                } else if self.is_tactless(&text) {
                    Attempt::Tactless
                } else {
                    Attempt::Ended(Generated::Whole { text, usage })
                }
            }
            Ok(Err(GenerateError::PromptTooLong { needed, available })) => {
                Attempt::TooLong(available as f64 / needed.max(1) as f64)
            }
            Ok(Err(GenerateError::Expired)) => match sentences(text.trim()) {
                "" => Attempt::Expired,
                // The time is up, and the person has read this much: begun anew among as many others it would expire again.
                said => Attempt::Ended(Generated::Whole { text: said.to_owned(), usage: Usage::default() }),
            },
            Ok(Err(GenerateError::Invalid(reason))) => {
                tracing::error!(reason, "the engine refused a request: check the persona and the model");
                Attempt::Ended(Generated::GaveUp)
            }
            Ok(Err(GenerateError::Backend(reason))) => {
                tracing::error!(reason, "the model failed");
                Attempt::Failed
            }
            Ok(Err(GenerateError::Cancelled)) => Attempt::Failed,
            Err(_) => Attempt::NotReady,
        })
    }

    /// Waits before the next attempt; news and shutdown end the wait.
    async fn wait(&self, wait: Duration) -> Result<Option<Generated>, StoreError> {
        tokio::select! {
            () = self.desk.cut.cancelled() => Ok(Some(Generated::Closing)),
            () = sleep(wait) => Ok(None),
            () = self.chat.bell.news.notified() => self.heed("").await,
        }
    }

    /// How the news end the answer, of which `text` is written; none if it goes on.
    async fn heed(&self, text: &str) -> Result<Option<Generated>, StoreError> {
        Ok(match self.read_news().await? {
            News::Later => None,
            News::Words if !self.chat.may_cancel => None,
            News::Words => Some(Generated::Outdated),
            News::Pressing => Some(Generated::Pressed),
            News::StartOver => Some(Generated::Overtaken),
            News::Stop(rows) => Some(Generated::Stopped { text: self.shown(text).to_owned(), rows }),
        })
    }

    async fn read_news(&self) -> Result<News, StoreError> {
        let desk = self.desk;
        let known: Vec<i64> = self.inbox.iter().map(|row| row.seq).collect();
        // Behind all that is known: after a flood the news would not be among the oldest rows.
        let rows = desk.store.pending(desk.bot, self.chat.id, known.len() + desk.config.inbox_rows).await?;
        let flirting = desk.persona.rules.flirt_mode.as_deref() == Some(self.mode);
        let pressing = Pressing { concerns: &|text| desk.safety.concerns(text), flirting };
        Ok(news(&rows, &known, known.len().max(desk.config.inbox_rows), &pressing))
    }

    fn is_tactless(&self, text: &str) -> bool {
        self.sober && rejoices(text)
    }

    /// What the person may see of the text so far. Whether a sentence rejoices is known at its end.
    fn shown<'t>(&self, text: &'t str) -> &'t str {
        if self.sober { sentences(text.trim()) } else { preview(text) }
    }

    fn show(&self, text: &str) {
        let Chat { id, private, topic, rows, .. } = *self.chat;
        let text = self.shown(text);
        if self.desk.config.streaming && private && !text.is_empty() {
            let draft_id = rows.first().copied().filter(|&id| id != 0).unwrap_or(1);
            let text = format!("{}{text}", self.first);
            let _ = self.desk.outbox.preview.try_send(Preview { chat: id, topic, draft_id, text });
        }
    }

    /// That many are ahead, and for about how long.
    fn busy(&self, wait: Duration) -> String {
        fill(&self.desk.persona.texts.busy, "wait", &spoken(wait))
    }

    /// Says that an answer will take a while, once. The inbox rows stay open: they will be answered.
    async fn tell_wait(&self, text: &str) -> Result<(), StoreError> {
        if self.chat.told.replace(true) {
            return Ok(());
        }
        let Desk { store, bot, .. } = self.desk;
        let change = self.desk.say(text).in_topic(self.chat.topic);
        store.finish(*bot, self.chat.id, self.chat.state.epoch, change).await?;
        let _ = self.desk.outbox.wake.try_send(crate::messages::OutboxWake { chat: self.chat.id });
        Ok(())
    }
}

/// The end of a text, somewhat less than this share of it.
fn newest_share(text: &str, share: f64) -> String {
    let chars = text.chars().count();
    let kept = (chars as f64 * share.clamp(0.0, 1.0) * 0.9) as usize;
    text.chars().skip(chars - kept.min(chars)).collect()
}

#[cfg(test)]
mod tests {
    use super::newest_share;

    #[test]
    fn a_too_long_message_keeps_its_end() {
        assert_eq!(newest_share("abcdefghij", 0.5), "ghij");
        assert_eq!(newest_share("äöü", 1.0), "öü");
        assert_eq!(newest_share("x", 0.1), "");
    }
}

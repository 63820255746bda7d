//! What is answered without the model: commands, buttons, pictures, people who come and go.

use crate::conversation::{Chat, Desk};
use crate::mode::Choice;
use crate::ports::{Change, StoreError};
use crate::reception::{DROP_FACT, FLIRT_NO, FLIRT_YES, FORGET_NO, FORGET_YES};
use crate::types::{Button, Event, Grounds, Incoming, Label, Media, Outgoing, Profile, Scores};

/// The commands that Telegram's menu shows: name and description.
pub const COMMANDS: [(&str, &str); 9] = [
    ("start", "Start over and say hello"),
    ("reset", "Start over"),
    ("stop", "Stop me while I write"),
    ("why", "Why I answered the way I did"),
    ("remember", "Tell me something to keep in mind"),
    ("flirt", "Let me flirt with you, or stop it (adults only)"),
    ("export", "Get all I keep of you as a file"),
    ("forget", "Erase all I keep of you"),
    ("help", "What I can do"),
];

impl Desk {
    /// The change that an event other than words calls for.
    pub(crate) async fn reply_to_event(&self, chat: &Chat<'_>, incoming: &Incoming) -> Result<Change, StoreError> {
        let texts = &self.persona.texts;
        Ok(match &incoming.event {
            Event::Command { name, args } => self.command(chat, name, args).await?,
            Event::Button { callback_id, data } => self.button(chat, callback_id, data).await?,
            Event::Edited { .. } => self.say(&texts.edited),
            Event::Media { media, .. } => self.say(match media {
                Media::Photo => &texts.photo,
                Media::Voice => &texts.voice,
                Media::Sticker => &texts.sticker,
                Media::Video => &texts.video,
                Media::Document => &texts.document,
                Media::Other => &texts.other_media,
            }),
            Event::Joined if !chat.private => self.say(&texts.joined_group),
            // People come and go in silence; empty words, a stop that came after the answer, a move that is done.
            Event::Joined | Event::Left | Event::Text { .. } | Event::StopGeneration | Event::Migrated { .. } => {
                Change::default()
            }
        })
    }

    async fn command(&self, chat: &Chat<'_>, name: &str, args: &str) -> Result<Change, StoreError> {
        let texts = &self.persona.texts;
        Ok(match name {
            "start" | "reset" => {
                // What was asked for by a button or a command is taken back in the same way.
                let Profile { flirt, facts, cared_at_ms, .. } = chat.state.profile.clone();
                let profile = Some(Profile { flirt, facts, cared_at_ms, ..Profile::default() });
                let said = if name == "start" { &texts.greeting } else { &texts.started_over };
                Change { reset: true, profile, ..self.say(said) }
            }
            "help" => self.say(&texts.help),
            "stop" => self.say(&texts.nothing_to_stop),
            "why" => self.say(&self.why(chat)),
            "remember" => self.remember(chat, args),
            "flirt" if !chat.private => self.say(&texts.flirt_private),
            "flirt" if chat.state.profile.flirt => {
                Change { out: self.say(&texts.flirt_off).out, ..self.profile(chat, |profile| profile.flirt = false) }
            }
            "flirt" => {
                ask(&self.named(&texts.flirt_question), [(&texts.flirt_yes, FLIRT_YES), (&texts.flirt_no, FLIRT_NO)])
            }
            "forget" => ask(
                &self.named(&texts.forget_question),
                [(&texts.forget_yes, FORGET_YES), (&texts.forget_no, FORGET_NO)],
            ),
            "export" => {
                let all = self.store.export(self.bot, chat.id).await?;
                let content = serde_json::to_string_pretty(&all).unwrap_or_default();
                let caption = self.named(&texts.export_caption);
                let file_name = "conversation.json".into();
                let out = vec![Outgoing::Document { file_name, content, caption, topic: None }];
                Change { out, ..Change::default() }
            }
            _ => self.say(&texts.unknown_command),
        })
    }

    async fn button(&self, chat: &Chat<'_>, callback_id: &str, data: &str) -> Result<Change, StoreError> {
        let texts = &self.persona.texts;
        let mut change = match data {
            FORGET_YES => {
                // This row stays: if what follows fails, the button is answered at the next try.
                let before = chat.rows.first().copied().unwrap_or(i64::MIN);
                self.store.erase(self.bot, chat.id, before).await?;
                Change { reset: true, profile: Some(Profile::default()), ..self.say(&texts.forgotten) }
            }
            FORGET_NO => self.say(&texts.kept),
            // One member cannot consent for all, nor say that all are adults.
            FLIRT_YES if !chat.private => self.say(&texts.flirt_private),
            FLIRT_YES => {
                Change { out: self.say(&texts.flirt_on).out, ..self.profile(chat, |profile| profile.flirt = true) }
            }
            FLIRT_NO => {
                Change { out: self.say(&texts.flirt_off).out, ..self.profile(chat, |profile| profile.flirt = false) }
            }
            _ => match data.strip_prefix(DROP_FACT).and_then(|at_ms| at_ms.parse().ok()) {
                Some(at_ms) => self.drop_fact(chat, at_ms),
                None => self.say(&texts.old_button),
            },
        };
        change.out.insert(0, Outgoing::ButtonAnswer { callback_id: callback_id.to_owned(), notice: String::new() });
        Ok(change)
    }

    /// A change of what is remembered beside the turns.
    pub(crate) fn profile(&self, chat: &Chat<'_>, with: impl FnOnce(&mut Profile)) -> Change {
        let mut profile = chat.state.profile.clone();
        with(&mut profile);
        Change { profile: Some(profile), ..Change::default() }
    }

    /// Why the last answer was given in its mode, in words and numbers.
    fn why(&self, chat: &Chat<'_>) -> String {
        let (profile, rules) = (&chat.state.profile, &self.persona.rules);
        if self.has_just_written(chat) {
            return self.persona.texts.why_written.clone();
        }
        let Some(mode) = &profile.mode else { return self.persona.texts.why_nothing.clone() };
        if profile.grounds.is_some_and(|grounds| !grounds.felt) {
            return format!("I couldn't make out in time what was in your last message, so I answered in {mode}.");
        }
        if profile.grounds.is_some_and(|grounds| grounds.tender) {
            return format!(
                "What you told me before matters most now, so I answered in {mode}, whatever I felt in your last message."
            );
        }
        if profile.grounds.is_some_and(|grounds| grounds.plain) && *mode == rules.negative_mode {
            return format!(
                "Your words themselves were bad news, so I answered in {mode}, whatever they sounded like."
            );
        }
        let Some(last) = profile.last_scores else { return self.persona.texts.why_nothing.clone() };
        // A profile written before the grounds were kept.
        let derived = || {
            let scores = profile.mood.map_or(last, |mood| mood.scores);
            let (negative, positive) = (scores.sum(&rules.negative), scores.sum(&rules.positive));
            let held = rules.held(&Choice { mode: mode.clone(), negative, positive });
            Grounds { negative, positive, felt: true, held, tender: false, plain: false }
        };
        let Grounds { negative, positive, held, .. } = profile.grounds.unwrap_or_else(derived);
        let flirt_mode = rules.flirt_mode.as_ref();
        let warm = match flirt_mode {
            Some(flirt)
                if flirt == mode || (chat.may_flirt() && !self.has_cared(chat) && rules.positive_mode != *mode) =>
            {
                flirt
            }
            _ => &rules.positive_mode,
        };
        let (sum, above) = if *mode == rules.negative_mode {
            ("negative", rules.negative_above)
        } else {
            ("positive", rules.positive_above)
        };
        let bar = percent(above - rules.hysteresis);
        let doubt = if rules.positive_unless_negative_above < rules.negative_above {
            format!(" (unless negative is above {})", percent(rules.positive_unless_negative_above))
        } else {
            String::new()
        };
        let stayed = if held { format!(" Once there, I stay until {sum} is down to {bar}.") } else { String::new() };
        format!(
            "In your last message I felt: {}.\nOver your last messages: negative ({}) {}, positive ({}) {}.\n\
             Negative above {} makes me {}, else positive above {}{doubt} makes me {warm}, else I'm in {}.{stayed} So I answered in \
             {mode}.",
            felt(last),
            names(&rules.negative),
            percent(negative),
            names(&rules.positive),
            percent(positive),
            percent(rules.negative_above),
            rules.negative_mode,
            percent(rules.positive_above),
            rules.neutral_mode,
        )
    }
}

/// A question with buttons in one row.
fn ask(question: &str, answers: [(&String, &str); 2]) -> Change {
    let row = answers.map(|(label, data)| Button { label: label.clone(), data: data.to_owned() });
    let buttons = vec![row.into()];
    Change { out: vec![Outgoing::Text { text: question.to_owned(), buttons, topic: None }], ..Change::default() }
}

fn percent(share: f32) -> String {
    format!("{:.0}%", share * 100.0)
}

fn names(labels: &[Label]) -> String {
    labels.iter().map(|label| label.name()).collect::<Vec<_>>().join(" + ")
}

/// The labels above one percent, strongest first.
fn felt(scores: Scores) -> String {
    let mut labels = Label::ALL.map(|label| (label, scores.get(label)));
    labels.sort_by(|a, b| b.1.total_cmp(&a.1));
    let strong = labels.iter().filter(|(_, share)| *share >= 0.01);
    strong.map(|(label, share)| format!("{} {}", label.name(), percent(*share))).collect::<Vec<_>>().join(", ")
}

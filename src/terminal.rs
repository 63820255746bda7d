//! A conversation in the terminal: what a person sees of the friend, and the lines they write.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use friend_actors::report::TurnReport;
use friend_actors::types::Label;
use tokio::sync::mpsc;

const DIM: Style = Style::new().dimmed();
const NAME: Style = Style::new().bold().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Cyan)));

/// What the person sees.
#[derive(Clone, PartialEq)]
pub enum Seen {
    /// "typing…" appeared or vanished.
    Typing(bool),
    /// The answer so far.
    Draft(String),
    /// A message, and its buttons' labels.
    Message(String, Vec<String>),
    /// A file: name and content.
    Document(String, String),
}

/// The lines of standard input, read on a thread of their own. Ends with the input.
pub fn lines() -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel(1);
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        let mut bytes = Vec::new();
        // What is no UTF-8 is shown as such rather than ending the conversation.
        while input.read_until(b'\n', &mut bytes).is_ok_and(|read| read > 0) {
            let line = String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\r']).to_owned();
            bytes.clear();
            if sender.blocking_send(line).is_err() {
                break;
            }
        }
    });
    lines
}

/// Draws the conversation. Without a terminal: whole messages only, no colours, no prompt.
pub struct Screen {
    name: String,
    terminal: bool,
    /// What of the growing answer stands on the screen.
    shown: String,
    /// A line that the next thing drawn takes the place of.
    passing: bool,
    report: Option<TurnReport>,
    buttons: Vec<String>,
}

impl Screen {
    /// A screen for a friend of this name.
    pub fn new(name: &str) -> Self {
        let terminal = std::io::stdout().is_terminal() && std::io::stdin().is_terminal();
        let (shown, buttons) = (String::new(), Vec::new());
        Self { name: name.to_owned(), terminal, shown, passing: false, report: None, buttons }
    }

    /// Whether a person sits here.
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Says something that is not of the conversation.
    pub fn note(&mut self, text: &str) {
        self.clear_passing();
        anstream::println!("{DIM}{text}{DIM:#}");
    }

    /// Asks for a line.
    pub fn prompt(&mut self) {
        if self.terminal {
            self.clear_passing();
            anstream::print!("{DIM}you:{DIM:#} ");
            flush();
        }
    }

    /// Keeps what was felt, to be shown under the reply.
    pub fn felt(&mut self, report: TurnReport) {
        self.report = Some(report);
    }

    /// The button whose number (or label) was typed.
    pub fn pressed(&self, line: &str) -> Option<&str> {
        let by_number = line.trim().parse::<usize>().ok().and_then(|number| self.buttons.get(number.wrapping_sub(1)));
        by_number.or_else(|| self.buttons.iter().find(|label| *label == line.trim())).map(String::as_str)
    }

    /// Draws what is seen. True if it ends an answer.
    pub fn see(&mut self, seen: Seen) -> bool {
        match seen {
            Seen::Typing(on) => {
                if self.terminal && on && self.shown.is_empty() && !self.passing {
                    anstream::print!("{DIM}{} is typing…{DIM:#}", self.name);
                    flush();
                    self.passing = true;
                }
                false
            }
            Seen::Draft(text) => {
                if self.terminal {
                    self.grow(&text);
                }
                false
            }
            Seen::Message(text, buttons) => {
                self.whole(&text);
                for (index, label) in buttons.iter().enumerate() {
                    anstream::println!("  {DIM}[{}]{DIM:#} {label}", index + 1);
                }
                self.buttons = buttons;
                self.under_line();
                true
            }
            Seen::Document(name, content) => {
                self.clear_passing();
                anstream::println!("{NAME}{}:{NAME:#} [{name}, {} bytes]\n{content}", self.name, content.len());
                true
            }
        }
    }

    /// Adds what is new of a growing answer; starts a new line where it has changed.
    fn grow(&mut self, text: &str) {
        self.clear_passing();
        if self.shown.is_empty() || !text.starts_with(&self.shown) {
            let gap = if self.shown.is_empty() { "" } else { "\n" };
            anstream::print!("{gap}{NAME}{}:{NAME:#} {text}", self.name);
        } else {
            anstream::print!("{}", &text[self.shown.len()..]);
        }
        flush();
        text.clone_into(&mut self.shown);
    }

    fn whole(&mut self, text: &str) {
        self.grow(text);
        self.shown.clear();
        anstream::println!();
    }

    /// The dim line: mode, scores, and what it cost.
    fn under_line(&mut self) {
        let Some(report) = self.report.take() else { return };
        let mut scores = Label::ALL.map(|label| (label.name(), report.felt.scores.get(label)));
        scores.sort_by(|a, b| b.1.total_cmp(&a.1));
        let strongest: Vec<_> =
            scores.iter().take(3).map(|(name, share)| format!("{name} {:.0}%", share * 100.0)).collect();
        let felt = if report.felt.degraded { "not felt".to_owned() } else { strongest.join(", ") };
        let cost = report.usage.map(|usage| {
            let (first, total) = (spoken(usage.time_to_first_token), spoken(usage.total));
            format!(" · {} tokens, first after {first}, all in {total}", usage.new_tokens)
        });
        let choice = &report.choice;
        anstream::println!(
            "{DIM}  {} · {felt} · positive {:.2}, negative {:.2}{}{DIM:#}",
            choice.mode,
            choice.positive,
            choice.negative,
            cost.unwrap_or_default()
        );
    }

    fn clear_passing(&mut self) {
        if std::mem::take(&mut self.passing) {
            // Carriage return, erase to the end of the line (ECMA-48).
            anstream::print!("\r\x1b[K");
        }
    }
}

fn spoken(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f32())
}

fn flush() {
    let _ = std::io::stdout().flush();
}

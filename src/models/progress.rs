//! Progress of long work on standard error: a bar on a terminal, a line at each fifth elsewhere.

use std::io::IsTerminal;
use std::time::Duration;

use friend_gguf::convert::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Tells how far long work is. A stage that is over in an instant tells nothing.
#[derive(Debug)]
pub struct Bar {
    terminal: bool,
    quiet: bool,
    bar: Option<ProgressBar>,
    stage: String,
    total: u64,
    done: u64,
    told: u64,
}

const STEPS: u64 = 5;
/// Work below this many bytes is too quick to be worth lines in a log.
const SILENT: u64 = 32 << 20;

impl Bar {
    /// On standard error.
    pub fn stderr() -> Self {
        Self::new(std::io::stderr().is_terminal(), false)
    }

    /// Nowhere: for tests.
    pub fn silent() -> Self {
        Self::new(false, true)
    }

    fn new(terminal: bool, quiet: bool) -> Self {
        Self { terminal, quiet, bar: None, stage: String::new(), total: 0, done: 0, told: 0 }
    }

    fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Progress for Bar {
    fn start(&mut self, stage: &str, bytes: u64) {
        self.end();
        stage.clone_into(&mut self.stage);
        (self.total, self.done, self.told) = (bytes, 0, 0);
        if self.terminal && !self.quiet {
            let bar = ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::stderr());
            let template = "{msg}  {wide_bar:.cyan/dim}  {bytes}/{total_bytes}  {bytes_per_sec}  {eta}";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style.progress_chars("━━─"));
            }
            bar.set_message(self.stage.clone());
            bar.enable_steady_tick(Duration::from_millis(200));
            self.bar = Some(bar);
        }
    }

    fn advance(&mut self, bytes: u64) {
        self.done = self.done.saturating_add(bytes);
        if let Some(bar) = &self.bar {
            // Totals may be estimates: the bar grows rather than overflows.
            bar.set_length(self.total.max(self.done));
            bar.set_position(self.done);
            return;
        }
        if self.quiet || self.total < SILENT {
            return;
        }
        let step = (self.done.min(self.total) * STEPS) / self.total;
        if step > self.told {
            self.told = step;
            eprintln!("{}: {} %", self.stage, step * 100 / STEPS);
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.end();
    }
}

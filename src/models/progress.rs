//! Progress of long work on standard error: a bar on a terminal, a line at each fifth elsewhere.

use std::io::{IsTerminal, Write as _};
use std::time::Duration;

use friend_gguf::convert::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Tells how far long work is. A stage that is over in an instant tells nothing.
#[derive(Debug)]
pub struct Bar {
    terminal: bool,
    quiet: bool,
    counts: bool,
    bar: Option<ProgressBar>,
    stage: String,
    total: u64,
    done: u64,
    told: u64,
}

const STEPS: u64 = 5;
/// Work below this many bytes is too quick to be worth lines in a log.
const SILENT: u64 = 32 << 20;

const BYTES: &str = "{msg}  {wide_bar:.cyan/dim}  {bytes}/{total_bytes}  {bytes_per_sec}  {eta}";
const THINGS: &str = "{msg}  {wide_bar:.cyan/dim}  {pos}/{len}  {eta}";

impl Bar {
    /// On standard error.
    pub fn stderr() -> Self {
        Self::new(std::io::stderr().is_terminal(), false)
    }

    /// On standard error, for work that is counted in things (answers, prompts) and not in bytes.
    pub fn counting() -> Self {
        let mut bar = Self::stderr();
        bar.counts = true;
        bar
    }

    /// Nowhere: for tests.
    pub fn silent() -> Self {
        Self::new(false, true)
    }

    fn new(terminal: bool, quiet: bool) -> Self {
        Self { terminal, quiet, counts: false, bar: None, stage: String::new(), total: 0, done: 0, told: 0 }
    }

    fn draw(&mut self, target: ProgressDrawTarget) {
        let bar = ProgressBar::with_draw_target(Some(self.total), target);
        if let Ok(style) = ProgressStyle::with_template(if self.counts { THINGS } else { BYTES }) {
            bar.set_style(style.progress_chars("━━─"));
        }
        bar.set_message(self.stage.clone());
        bar.enable_steady_tick(Duration::from_millis(200));
        self.bar = Some(bar);
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
            self.draw(ProgressDrawTarget::stderr());
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
            // Where nobody can be told, the work goes on.
            let _ = writeln!(std::io::stderr(), "{}: {} %", self.stage, step * 100 / STEPS);
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use indicatif::TermLike;

    use super::*;

    /// All that was drawn on a terminal.
    #[derive(Clone, Debug, Default)]
    struct Screen(Arc<Mutex<String>>);

    impl TermLike for Screen {
        fn width(&self) -> u16 {
            120
        }
        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn write_line(&self, text: &str) -> io::Result<()> {
            self.write_str(text)
        }
        fn write_str(&self, text: &str) -> io::Result<()> {
            self.0.lock().unwrap().push_str(text);
            Ok(())
        }
        fn clear_line(&self) -> io::Result<()> {
            Ok(())
        }
        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    fn drawn(counts: bool) -> String {
        let screen = Screen::default();
        let mut bar = Bar::silent();
        bar.counts = counts;
        bar.start("answers", 32);
        bar.draw(ProgressDrawTarget::term_like(Box::new(screen.clone())));
        bar.advance(3);
        screen.0.lock().unwrap().clone()
    }

    #[test]
    fn answers_are_counted_and_files_measured_in_bytes() {
        let (answers, file) = (drawn(true), drawn(false));
        assert!(answers.contains("/32  ") && !answers.contains(" B"), "{answers}");
        assert!(file.contains(" B/32 B"), "{file}");
    }
}

//! How fast the machine is at a moment: a few steps in a context of their own, always the same ones. What else runs on it, or beside it on
//! the same host, changes from minute to minute; a long run that is compared with these is compared with itself.

use friend_gguf::backend::{Backend, Batch, LaneId};
use friend_gguf::request::{EngineConfig, KvLayout};

use crate::{Options, median};

/// Rows of a step: those of the long run.
const ROWS: u16 = 8;
/// Steps, the first of which are not counted.
const STEPS: usize = 24;
const UNCOUNTED: usize = 8;
const CONTEXT: u32 = 256;

/// A context for it.
pub fn config(options: &Options) -> EngineConfig {
    let lanes = u32::from(ROWS) + 1;
    let config = options.engine(u32::from(ROWS), lanes, CONTEXT, CONTEXT * lanes);
    EngineConfig { kv_tokens: CONTEXT * lanes, kv_layout: KvLayout::Unified, ..config }
}

/// Conversations that say the same again and again.
pub struct Probe<B> {
    backend: B,
    batch: Batch,
}

impl<B: Backend> Probe<B> {
    /// Over a backend that does nothing else.
    pub fn new(backend: B) -> Self {
        let batch = Batch::new(backend.limits());
        Self { backend, batch }
    }

    /// Seconds of a step.
    pub fn step(&mut self) -> Result<f64, Box<dyn std::error::Error>> {
        (0..ROWS).for_each(|lane| self.backend.truncate(LaneId(lane), 0));
        let mut seconds = Vec::new();
        for (held, token) in (0..STEPS).zip(300..) {
            self.batch.clear();
            for lane in 0..ROWS {
                self.batch.push(LaneId(lane), held, token, true).map_err(|error| error.to_string())?;
            }
            seconds.push(self.backend.decode(&self.batch).map_err(|error| error.to_string())?.as_secs_f64());
        }
        Ok(median(&seconds[UNCOUNTED..]))
    }
}

//! The engine's own thread, and the handle that everybody else holds.

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Instant;

use crate::backend::Backend;
use crate::batcher::Batcher;
use crate::mailbox::Mailbox;
use crate::request::{Engine, EngineStatus, ModelInfo, OwnerId, Request, SubmitError, Ticket};

/// Stack of an engine's thread: llama.cpp splits texts with `std::regex` for tokenizers that it has no splitter for, and that recurses
/// for each character of a word. 6,500 letters fill the two megabytes that Rust gives a thread; what `fit` lets through fills a third
/// of these. What is not used takes no memory.
const STACK: usize = 64 << 20;

/// An engine on its own thread. Dropping it ends the thread after the step it is in.
pub struct EngineHandle {
    mailbox: Arc<Mailbox>,
    model: ModelInfo,
    thread: Option<JoinHandle<()>>,
}

/// Handed to the engine's thread: serves once the model is there.
pub struct Serving {
    mailbox: Arc<Mailbox>,
    ready: SyncSender<ModelInfo>,
}

impl EngineHandle {
    /// Starts a thread in which `body` loads a model and then [serves](Serving::run) it; waits until it does. `queue`
    /// requests may wait.
    ///
    /// # Errors
    /// Whatever `body` fails with before it serves; an I/O error where no thread can be started or it panicked.
    pub fn start<E>(queue: usize, body: impl FnOnce(Serving) -> Result<(), E> + Send + 'static) -> Result<Self, E>
    where
        E: From<std::io::Error> + Send + 'static,
    {
        let mailbox = Mailbox::new(queue);
        let (ready, is_ready) = sync_channel(1);
        let (failed, failure) = sync_channel(1);
        let serving = Serving { mailbox: Arc::clone(&mailbox), ready };
        let closing = Closing(Arc::clone(&mailbox));
        let thread = std::thread::Builder::new().name("engine".into()).stack_size(STACK).spawn(move || {
            let _closing = closing;
            if let Err(error) = body(serving) {
                // The receiver is there as long as nobody has seen it ready.
                let _ = failed.send(error);
            }
        })?;
        match is_ready.recv() {
            Ok(model) => Ok(Self { mailbox, model, thread: Some(thread) }),
            Err(_) => Err(failure.recv().unwrap_or_else(|_| std::io::Error::other("the engine's thread ended").into())),
        }
    }

    /// Ends the thread after the step it is in, and waits for it. Answers in flight end without an outcome.
    pub fn shutdown(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.mailbox.stop();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the engine's thread had panicked");
        }
    }
}

impl Drop for EngineHandle {
    fn drop(&mut self) {
        self.end();
    }
}

impl Engine for EngineHandle {
    fn submit(&self, request: Request) -> Result<Ticket, SubmitError> {
        self.mailbox.submit(request, Instant::now())
    }

    fn forget(&self, owner: OwnerId) {
        self.mailbox.forget(owner);
    }

    fn model(&self) -> &ModelInfo {
        &self.model
    }

    fn status(&self) -> EngineStatus {
        self.mailbox.status()
    }
}

impl Serving {
    /// Announces the model and makes steps until the handle is dropped.
    pub fn run<B: Backend>(self, model: ModelInfo, batcher: &mut Batcher<B>) {
        if self.ready.send(model).is_err() {
            return;
        }
        loop {
            let taken = self.mailbox.take(batcher.is_idle());
            if taken.stop {
                return;
            }
            for job in taken.jobs {
                batcher.accept(job);
            }
            for owner in taken.forget {
                batcher.forget(owner);
            }
            batcher.step(Instant::now());
            let status = batcher.status();
            self.mailbox.publish(status, status.queued, batcher.outlook(Instant::now()));
        }
    }
}

/// However the thread ends, nobody waits for it in vain.
struct Closing(Arc<Mailbox>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

//! An actor that only remembers what it was told: the other end of a `Recipient` in tests.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actix::{Actor, Addr, Context, Handler, Message};

/// Remembers all messages of one kind.
#[derive(Debug)]
pub struct Probe<M> {
    seen: Seen<M>,
}

/// What a [`Probe`] was told so far.
#[derive(Debug)]
pub struct Seen<M>(Arc<Mutex<Vec<M>>>);

impl<M: Message<Result = ()> + Send + Unpin + 'static> Probe<M> {
    /// Starts one in this thread's system.
    pub fn begin() -> (Addr<Self>, Seen<M>) {
        let seen = Seen(Arc::default());
        (Self { seen: seen.clone() }.start(), seen)
    }
}

impl<M> Clone for Seen<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M> Seen<M> {
    /// All of it, in order, leaving nothing.
    pub fn take(&self) -> Vec<M> {
        std::mem::take(&mut *self.messages())
    }

    /// How many messages are there now.
    pub fn count(&self) -> usize {
        self.messages().len()
    }

    fn messages(&self) -> MutexGuard<'_, Vec<M>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<M: Message<Result = ()> + Unpin + 'static> Actor for Probe<M> {
    type Context = Context<Self>;
}

impl<M: Message<Result = ()> + Unpin + 'static> Handler<M> for Probe<M> {
    type Result = ();

    fn handle(&mut self, message: M, _: &mut Self::Context) {
        self.seen.messages().push(message);
    }
}

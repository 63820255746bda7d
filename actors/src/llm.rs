//! The Llm actor: the sessions' way to the batching engine, and the one place that tells the house of its end.

use std::sync::Arc;

use actix::{Actor, Context, Handler, Message, Supervised};
use friend_gguf::request::{Engine, OwnerId, Request, SubmitError, Ticket};

use crate::messages::Fatal;
use crate::supervisor::{Guarded, Lifeline, Supervision};

/// Queues one answer. The ticket streams the text; generation itself happens on the engine's own thread.
#[derive(Message)]
#[rtype(result = "Result<Ticket, SubmitError>")]
pub struct Generate(pub Request);

/// Drops all the engine holds of a conversation.
#[derive(Message)]
#[rtype(result = "()")]
pub struct ForgetOwner(pub OwnerId);

/// See the module's text.
pub struct Llm {
    engine: Arc<dyn Engine>,
    supervision: Supervision,
    _lifeline: Lifeline,
}

impl Llm {
    /// An actor in front of a started engine.
    pub fn new(engine: Arc<dyn Engine>, supervision: Supervision) -> Self {
        let lifeline = supervision.lifeline(Self::NAME);
        Self { engine, supervision, _lifeline: lifeline }
    }
}

impl Actor for Llm {
    type Context = Context<Self>;
}

impl Supervised for Llm {
    fn restarting(&mut self, _: &mut Context<Self>) {
        self.supervision.restarted(Self::NAME);
    }
}

impl Guarded for Llm {
    const NAME: &'static str = "llm";
}

impl Handler<Generate> for Llm {
    type Result = Result<Ticket, SubmitError>;

    fn handle(&mut self, Generate(request): Generate, ctx: &mut Context<Self>) -> Self::Result {
        let mut answer = Err(SubmitError::Stopped);
        crate::supervisor::guarded(self, ctx, |llm, _| {
            llm.supervision.trip(Self::NAME);
            answer = llm.engine.submit(request);
            if matches!(answer, Err(SubmitError::Stopped)) {
                // It does not come back by itself, and everybody would wait for ever.
                let reason = "the engine's thread has ended (see the log above for why), so nothing can be answered; \
                              what is unanswered stays in the store: start the program again";
                llm.supervision.fatal(Fatal { actor: Self::NAME, reason: reason.to_owned() });
            }
        });
        answer
    }
}

impl Handler<ForgetOwner> for Llm {
    type Result = ();

    fn handle(&mut self, ForgetOwner(owner): ForgetOwner, ctx: &mut Context<Self>) {
        crate::supervisor::guarded(self, ctx, |llm, _| llm.engine.forget(owner));
    }
}

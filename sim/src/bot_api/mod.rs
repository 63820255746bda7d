//! A Telegram Bot API emulator: starts, serves, stops. See the crate's documentation for what it does.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

mod accept;
mod chat;
mod config;
mod control;
mod entities_html;
mod entities_legacy;
mod entities_markdown;
mod faults;
mod http;
mod ledger;
mod limits;
mod markup;
mod methods;
mod params;
mod play;
mod poll;
mod reply;
mod state;
mod text;
mod updates;

pub use config::{Config, DEFAULT_TOKEN, Limits, Rate};
pub use control::{Control, Group, User, WaitError};
pub use faults::{Fault, FaultRule};
pub use ledger::{Entry, Event};
pub use params::Upload;
pub use play::{Media, PlayError, Sent};
pub use updates::BatchFault;

/// The emulator's door: [`BotApi::start`].
#[derive(Debug)]
pub struct BotApi;

/// A running emulator. Dropping it cuts every connection and ends its tasks.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

/// Why an emulator could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is taken or not ours.
    #[error("cannot listen on {address}: {source}; choose another port, or 0 for any free one")]
    Listen {
        /// The address wanted.
        address: SocketAddr,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A token is `<digits>:<letters, digits, _ or ->`.
    #[error("the emulator's token is malformed: it must be digits, a colon, and letters, digits, `_` or `-`")]
    Token,
}

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<state::State>,
    offline: watch::Sender<bool>,
}

impl BotApi {
    /// Starts an emulator on the current tokio runtime.
    ///
    /// # Errors
    /// [`StartError`] when the address cannot be had or the token is malformed.
    pub async fn start(config: Config) -> Result<Server, StartError> {
        if !http::is_token(&config.token) {
            return Err(StartError::Token);
        }
        let wanted = config.listen;
        let refused = |source| StartError::Listen { address: wanted, source };
        let listener = TcpListener::bind(wanted).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let serve_control = config.serve_control;
        let state = Mutex::new(state::State::new(config));
        let shared = Arc::new(Shared { state, offline: watch::Sender::new(false) });
        let stop = CancellationToken::new();
        let app = http::router(Arc::clone(&shared), serve_control);
        let door = accept::Door { app, stop: stop.clone() };
        let tasks = vec![
            tokio::spawn(accept::run(listener, door)),
            tokio::spawn(end_previews(Arc::clone(&shared), stop.clone())),
        ];
        Ok(Server { address, shared, stop, tasks })
    }
}

impl Server {
    /// The API's base, to be followed by `/bot<token>/<method>`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Plays users, injects faults, reads the ledger.
    pub fn control(&self) -> Control {
        Control::new(Arc::clone(&self.shared))
    }

    /// Stops and waits until every task has ended.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        for task in self.tasks.drain(..) {
            // A task that panicked has ended as well.
            let _ = task.await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Shared {
    /// The state. A panic while it was held cannot leave it half changed in a way that matters to a test.
    pub(crate) fn lock(&self) -> MutexGuard<'_, state::State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes drafts and actions away when their time is over.
async fn end_previews(shared: Arc<Shared>, stop: CancellationToken) {
    let alarm = Arc::clone(&shared.lock().alarm);
    loop {
        let next = shared.lock().expire(tokio::time::Instant::now());
        let sleep = async {
            match next {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = alarm.notified() => {}
            () = sleep => {}
        }
    }
}

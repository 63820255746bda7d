//! The accept loop: our own, so that a fault can end a connection at any point of a call.

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;

/// Connections at once at most; a further one is closed at once.
const MAX_CONNECTIONS: usize = 4096;

/// What a connection needs to be served.
#[derive(Clone)]
pub struct Door {
    /// The routes.
    pub app: Router,
    /// Ends everything.
    pub stop: CancellationToken,
}

/// Ends the connection that a request came by. Found in the request's extensions.
#[derive(Clone, Debug)]
pub struct Wire(CancellationToken);

impl Wire {
    /// Ends the connection without an answer; never returns.
    pub async fn cut(&self) -> ! {
        self.0.cancel();
        std::future::pending().await
    }
}

/// Accepts connections until told to stop, and waits for them to end.
pub async fn run(listener: TcpListener, door: Door) {
    let connections = TaskTracker::new();
    loop {
        let stream = tokio::select! {
            biased;
            () = door.stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of file descriptors or the like: passes with time, so do not spin.
                    tracing::warn!(%error, "the emulator could not accept a connection");
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        if connections.len() < MAX_CONNECTIONS {
            connections.spawn(serve(stream, door.clone()));
        }
    }
    connections.close();
    connections.wait().await;
}

async fn serve(stream: TcpStream, door: Door) {
    let Door { app, stop } = door;
    // Small answers must not wait for the client's delayed acknowledgement.
    let _ = stream.set_nodelay(true);
    let wire = Wire(CancellationToken::new());
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let mut request: Request = request.map(Body::new);
        request.extensions_mut().insert(wire.clone());
        app.clone().call(request)
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        () = wire.0.cancelled() => {}
        // How a connection ended is the client's business.
        _ = connection => {}
    }
}

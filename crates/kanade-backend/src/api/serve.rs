//! The listener: takes connections, answers on them, and ends them in order.
//!
//! Every connection has limits before a handler sees anything of it: how many there are at once,
//! how long its head may take, and how large that is. When told to stop it takes no more, lets
//! requests in progress end, and then closes what is left.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::tasks::Stop;

/// Connections at once.
const CONNECTIONS: usize = 4096;
/// Longest time for the head of a request to come in; also for an idle connection.
const HEAD_TIME: Duration = Duration::from_secs(60);
/// Largest head of a request, in bytes.
const HEAD_BYTES: usize = 64 * 1024;
/// Most header lines of a request.
const HEAD_LINES: usize = 64;
/// How long requests in progress may take to end after a stop.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// Why the API cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another program has the port.
    #[error("port {} is in use by another program, so the API cannot listen on {address}", address.port())]
    InUse {
        /// Where.
        address: SocketAddr,
    },
    /// The system does not allow it.
    #[error("the API cannot listen on {address}")]
    Other {
        /// Where.
        address: SocketAddr,
        /// The system's.
        #[source]
        source: io::Error,
    },
}

impl ListenError {
    /// What to do next.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            Self::InUse { .. } => {
                "stop that program, or choose another port with `--listen 127.0.0.1:PORT`"
            }
            Self::Other { .. } => {
                "choose an address of this machine, and a port above 1023 unless run as root"
            }
        }
    }
}

/// Takes the address, so that nobody else can; connections wait until [`serve`].
///
/// # Errors
/// [`ListenError`] says what is in the way.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, ListenError> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|source| {
        if source.kind() == io::ErrorKind::AddrInUse {
            ListenError::InUse { address }
        } else {
            ListenError::Other { address, source }
        }
    })
}

/// Answers until `stop`, and returns when no request is in progress.
pub async fn serve(listener: Arc<TcpListener>, router: Router, stop: Stop) {
    let graceful = GracefulShutdown::new();
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let stream = tokio::select! {
            stream = next(&listener) => stream,
            () = stop.cancelled() => break,
        };
        // Beyond the limit a connection is closed at once: better than to wait for ever.
        let Ok(place) = room.clone().try_acquire_owned() else {
            continue;
        };
        let service = TowerToHyperService::new(router.clone());
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME)
            .max_buf_size(HEAD_BYTES)
            .max_headers(HEAD_LINES)
            .serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
            drop(place);
        });
    }
    if tokio::time::timeout(STOP_LIMIT, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("requests were still in progress and are given up");
    }
}

async fn next(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Small answers at once: nothing here writes byte by byte.
                stream.set_nodelay(true).ok();
                return stream;
            }
            // Out of descriptors, say: taking on at once would only spin.
            Err(error) => {
                tracing::warn!(%error, "could not take a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

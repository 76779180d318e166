//! The sandbox behind a socket: a listener on the loopback, served by a task until somebody lets go
//! of it. Faults of accepting connections (refused, reset, closed on reuse) belong in this file.

use std::io;
use std::net::SocketAddr;
use std::ops::Deref;

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::sandbox::Sandbox;

/// A sandbox that listens on a socket. It dereferences to its [`Sandbox`].
///
/// Dropping it stops it: no connection is accepted any more, and open ones end with the reply that
/// they are waiting for. [`shutdown`](Self::shutdown) does the same and waits for it.
#[derive(Debug)]
#[must_use = "the sandbox stops when this is dropped"]
pub struct RunningSandbox {
    sandbox: Sandbox,
    address: SocketAddr,
    base_url: String,
    /// Dropping the sender is the signal to stop.
    stop: oneshot::Sender<()>,
    server: JoinHandle<io::Result<()>>,
}

impl RunningSandbox {
    pub(crate) async fn start(sandbox: Sandbox, address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let serve = axum::serve(listener, sandbox.service()).with_graceful_shutdown(async {
            // Nothing is ever sent: an error, the sender being gone, is what ends the wait.
            let _ = stopped.await;
        });
        let server = tokio::spawn(serve.into_future());
        Ok(Self {
            sandbox,
            address,
            base_url: format!("http://{address}"),
            stop,
            server,
        })
    }

    /// Where the sandbox listens, without a trailing slash and without `/api/io`:
    /// `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// The address that the socket is bound to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The handle, which outlives the socket when it is cloned.
    #[must_use]
    pub fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// Stops, and waits until the last open connection has ended.
    ///
    /// # Errors
    ///
    /// When the server had ended with an error of its own.
    pub async fn shutdown(self) -> io::Result<()> {
        drop(self.stop);
        self.server.await.map_err(io::Error::other)?
    }

    /// Serves until the process ends or the server fails.
    ///
    /// # Errors
    ///
    /// When the server ends with an error.
    pub async fn wait(self) -> io::Result<()> {
        // Kept, not dropped: it would be the signal to stop.
        let _stop = self.stop;
        self.server.await.map_err(io::Error::other)?
    }
}

impl Deref for RunningSandbox {
    type Target = Sandbox;

    fn deref(&self) -> &Sandbox {
        &self.sandbox
    }
}

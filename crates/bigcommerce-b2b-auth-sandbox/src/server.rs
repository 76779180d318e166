//! The sandbox behind a socket: a listener on the loopback, served by a task until somebody lets go
//! of it. What goes wrong before a request is read (connections refused, or left without a word)
//! lives here; what goes wrong after that is in `wire`.

use std::convert::Infallible;
use std::future::{Future, pending, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::ops::Deref;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::sandbox::Sandbox;
use crate::wire::{self, Connection, WireReply};

/// A sandbox that listens on a socket. It dereferences to its [`Sandbox`].
///
/// Dropping it stops it: no connection is accepted any more, and open ones end with the reply that
/// they are waiting for. [`shutdown`](Self::shutdown) does the same and waits for it.
#[derive(Debug)]
#[must_use = "the sandbox stops when this is dropped"]
pub struct RunningSandbox {
    address: SocketAddr,
    base_url: String,
    door: Arc<Door>,
    /// Nothing while the sandbox does not listen.
    listening: Mutex<Option<Listening>>,
}

/// What every connection comes through.
#[derive(Debug)]
struct Door {
    sandbox: Sandbox,
    security: Security,
    silent: AtomicBool,
}

/// Whether connections are encrypted.
pub(crate) enum Security {
    None,
    #[cfg(feature = "tls")]
    Tls(tokio_rustls::TlsAcceptor),
}

impl std::fmt::Debug for Security {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.scheme())
    }
}

impl Security {
    fn scheme(&self) -> &'static str {
        match self {
            Self::None => "http",
            #[cfg(feature = "tls")]
            Self::Tls(_) => "https",
        }
    }
}

impl RunningSandbox {
    pub(crate) async fn start(
        sandbox: Sandbox,
        address: SocketAddr,
        security: Security,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let door = Arc::new(Door {
            sandbox,
            security,
            silent: AtomicBool::new(false),
        });
        Ok(Self {
            address,
            base_url: format!("{}://{address}", door.security.scheme()),
            listening: Mutex::new(Some(Listening::begin(listener, Arc::clone(&door)))),
            door,
        })
    }

    /// Where the sandbox listens, without a trailing slash and without `/api/io`:
    /// `http://127.0.0.1:PORT`, or `https` with a certificate.
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
        &self.door.sandbox
    }

    /// Refuses connections: nobody listens on the port any more, and open connections end with the
    /// reply that they are waiting for. Returns when the last one has ended; a reply that a fault
    /// holds back is given up.
    ///
    /// ```
    /// # use bigcommerce_b2b_auth_sandbox::Sandbox;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let sandbox = Sandbox::builder().start().await?;
    /// sandbox.stop_listening().await;
    /// assert!(reqwest::get(sandbox.base_url()).await.is_err_and(|error| error.is_connect()));
    /// sandbox.resume_listening().await?;
    /// assert_eq!(reqwest::get(sandbox.base_url()).await?.status(), 404);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn stop_listening(&self) {
        // A panic within the task has ended it as well.
        let _ = self.stop().await;
    }

    /// Listens again, on the same port. Nothing changes if the sandbox listens already.
    ///
    /// # Errors
    ///
    /// When somebody else has taken the port in between.
    pub async fn resume_listening(&self) -> io::Result<()> {
        if self.listening().is_none() {
            let listener = TcpListener::bind(self.address).await?;
            *self.listening() = Some(Listening::begin(listener, Arc::clone(&self.door)));
        }
        Ok(())
    }

    /// While this is on, new connections are taken and nothing ever happens on them: no reply, and
    /// with a certificate not even a handshake. They count as no request. Open connections go on.
    pub fn hold_connections(&self, on: bool) {
        self.door.silent.store(on, Ordering::Relaxed);
    }

    /// Stops, and waits until the last open connection has ended.
    ///
    /// # Errors
    ///
    /// When the server had ended with an error of its own.
    pub async fn shutdown(self) -> io::Result<()> {
        self.stop().await
    }

    /// Serves until the process ends or the server fails.
    ///
    /// # Errors
    ///
    /// When the server ends with an error.
    pub async fn wait(self) -> io::Result<()> {
        let listening = self.listening().take();
        match listening {
            // The sender is kept, not dropped: that would be the signal to stop.
            Some(Listening { stop: _stop, task }) => task.await.map_err(io::Error::other),
            None => Ok(()),
        }
    }

    async fn stop(&self) -> io::Result<()> {
        let listening = self.listening().take();
        match listening {
            Some(Listening { stop, task }) => {
                drop(stop);
                task.await.map_err(io::Error::other)
            }
            None => Ok(()),
        }
    }

    fn listening(&self) -> std::sync::MutexGuard<'_, Option<Listening>> {
        self.listening
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Deref for RunningSandbox {
    type Target = Sandbox;

    fn deref(&self) -> &Sandbox {
        &self.door.sandbox
    }
}

/// A listener and the connections that came through it.
#[derive(Debug)]
struct Listening {
    /// Dropping the sender is the signal to stop.
    stop: watch::Sender<()>,
    task: JoinHandle<()>,
}

impl Listening {
    fn begin(listener: TcpListener, door: Arc<Door>) -> Self {
        let (stop, stopped) = watch::channel(());
        let task = tokio::spawn(accept(listener, door, stopped));
        Self { stop, task }
    }
}

async fn accept(listener: TcpListener, door: Arc<Door>, stopped: watch::Receiver<()>) {
    /// How long to wait when the system has no socket left to give.
    const OUT_OF_SOCKETS: Duration = Duration::from_millis(50);

    let mut connections = JoinSet::new();
    let mut stop = pin!(sender_gone(stopped.clone()));
    while let Some(accepted) = unless(stop.as_mut(), listener.accept()).await {
        // Those that have ended are let go of; what became of them does not matter to the rest.
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((socket, _)) => {
                let (door, stopped) = (Arc::clone(&door), stopped.clone());
                connections.spawn(async move { door.admit(socket, stopped).await });
            }
            Err(_) => tokio::time::sleep(OUT_OF_SOCKETS).await,
        }
    }
    // Before the open connections are waited for, so that no new one waits in vain.
    drop(listener);
    while connections.join_next().await.is_some() {}
}

impl Door {
    async fn admit(&self, socket: TcpStream, stopped: watch::Receiver<()>) {
        let stop = pin!(sender_gone(stopped));
        // A fault of one byte is to be seen as one; without this it would wait for company.
        let _ = socket.set_nodelay(true);
        if self.silent.load(Ordering::Relaxed) {
            unless(stop, wire::silence(socket)).await;
            return;
        }
        match &self.security {
            Security::None => self.serve(socket, stop).await,
            #[cfg(feature = "tls")]
            Security::Tls(acceptor) => {
                let mut stop = stop;
                // A client that did not like the certificate has said so and gone.
                let Some(Ok(stream)) = unless(stop.as_mut(), acceptor.accept(socket)).await else {
                    return;
                };
                #[cfg(feature = "http2")]
                if stream.get_ref().1.alpn_protocol() == Some(crate::tls::HTTP2) {
                    return self.serve_http2(stream, stop).await;
                }
                self.serve(stream, stop).await;
            }
        }
    }

    /// Serves requests until the connection ends, or until one meets a fault that takes the
    /// connection over.
    async fn serve(&self, stream: impl Connection, mut stop: Pin<&mut impl Future<Output = ()>>) {
        let (take_over, mut taken_over) = mpsc::unbounded_channel::<WireReply>();
        let reuse = Reuse::default();
        let service = service_fn(|request: hyper::Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(reuse.clone());
            let (sandbox, take_over) = (self.sandbox.clone(), take_over.clone());
            async move {
                let mut response = sandbox.serve(request).await;
                if let Some(reply) = response.extensions_mut().remove::<WireReply>()
                    && take_over.send(reply).is_ok()
                {
                    // The library waits for a reply; the connection is taken from it meanwhile.
                    return pending().await;
                }
                Ok::<_, Infallible>(response)
            }
        });
        let mut connection = http1::Builder::new()
            .header_read_timeout(None)
            .serve_connection(TokioIo::new(stream), service);
        let mut stopping = false;
        let fault = poll_fn(|context| {
            if !stopping && stop.as_mut().poll(context).is_ready() {
                stopping = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
            if Pin::new(&mut connection).poll(context).is_ready() {
                return Poll::Ready(None);
            }
            taken_over.poll_recv(context)
        })
        .await;
        let Some(reply) = fault else { return };
        let stream = connection.into_parts().io.into_inner();
        let carried_out = wire::carry_out(reply, stream);
        if stopping {
            // The signal has come and gone, and with it the reason to wait for the client.
            return;
        }
        unless(stop, carried_out).await;
    }
}

#[cfg(feature = "http2")]
impl Door {
    /// Serves requests over HTTP/2, where many share a connection and no byte is the sandbox's own
    /// to write: a fault of the connection ends it for all of them, and a body that breaks off ends
    /// its own stream alone.
    async fn serve_http2(
        &self,
        stream: impl Connection,
        mut stop: Pin<&mut impl Future<Output = ()>>,
    ) {
        use hyper_util::rt::TokioExecutor;

        use crate::fault::ConnectionFault;

        let (break_off, mut broken_off) = mpsc::unbounded_channel::<()>();
        let reuse = Reuse::default();
        let service = service_fn(|request: hyper::Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(reuse.clone());
            let (sandbox, break_off) = (self.sandbox.clone(), break_off.clone());
            async move {
                let response = sandbox.serve(request).await;
                match response.extensions().get() {
                    None => return Ok::<_, Infallible>(response),
                    Some(ConnectionFault::Stall) => {}
                    // Whether anybody still listens for it does not matter.
                    Some(_) => drop(break_off.send(())),
                }
                pending().await
            }
        });
        let mut connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), service);
        poll_fn(|context| {
            // A stream that stalls would keep a graceful end waiting, so the end is none.
            if stop.as_mut().poll(context).is_ready()
                || Pin::new(&mut connection).poll(context).is_ready()
            {
                return Poll::Ready(());
            }
            broken_off.poll_recv(context).map(drop)
        })
        .await;
    }
}

/// Whether a connection is closed as soon as the next request arrives on it. One for each
/// connection, with every request on it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reuse(Arc<AtomicBool>);

impl Reuse {
    pub(crate) fn end(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

async fn sender_gone(mut receiver: watch::Receiver<()>) {
    while receiver.changed().await.is_ok() {}
}

/// The outcome of `work`, unless `stop` comes first.
async fn unless<T>(
    mut stop: Pin<&mut impl Future<Output = ()>>,
    work: impl Future<Output = T>,
) -> Option<T> {
    let mut work = pin!(work);
    poll_fn(|context| {
        if stop.as_mut().poll(context).is_ready() {
            return Poll::Ready(None);
        }
        work.as_mut().poll(context).map(Some)
    })
    .await
}

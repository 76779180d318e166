//! Replies that no HTTP library would write, carried out on the socket itself.
//! The library has read the request; from there on the connection belongs to the fault, and ends
//! with it.

use std::io;

use axum::body::Bytes;
use axum::http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use axum::http::{HeaderMap, HeaderValue};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::broken_body::{BrokenBody, Ending, Piece};
use crate::reply::Reply;

/// What a socket sends in place of a well-formed reply.
#[derive(Clone, Debug)]
pub(crate) struct WireReply {
    head: Bytes,
    body: BrokenBody,
    chunked: bool,
}

impl WireReply {
    /// No byte.
    pub(crate) fn nothing(ending: Ending) -> Self {
        Self::new(Bytes::new(), Vec::new(), ending)
    }

    /// The first half of the head, and silence.
    pub(crate) fn half_head(reply: &Reply) -> Self {
        let mut head = Bytes::from(head(reply, &reply.headers, &[]));
        head.truncate(head.len() / 2);
        Self::new(head, Vec::new(), Ending::Hang)
    }

    /// A head with this `Content-Length`, whatever the body has.
    pub(crate) fn measured(
        reply: &Reply,
        length: usize,
        pieces: Vec<Piece>,
        ending: Ending,
    ) -> Self {
        let head = head(reply, &reply.headers, &[length]);
        Self::new(head.into(), pieces, ending)
    }

    /// The whole reply under two lengths, of which one is right.
    pub(crate) fn double_length(reply: &Reply) -> Self {
        let length = reply.body.len();
        let head = head(reply, &reply.headers, &[length, length + 1]);
        let body = vec![Piece::Whole(reply.body.clone())];
        Self::new(head.into(), body, Ending::Close)
    }

    /// The whole reply, after this many headers of no meaning.
    pub(crate) fn flood(reply: &Reply, headers: usize) -> Self {
        let mut bytes = head(reply, &reply.headers, &[reply.body.len()]);
        // The blank line at the end of the head moves behind the flood.
        bytes.truncate(bytes.len() - 2);
        for number in 0..headers {
            bytes.extend_from_slice(format!("x-flood-{number}: {:064}\r\n", 0).as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        let body = vec![Piece::Whole(reply.body.clone())];
        Self::new(bytes.into(), body, Ending::Close)
    }

    /// A body in chunks.
    pub(crate) fn chunked(reply: &Reply, pieces: Vec<Piece>, ending: Ending) -> Self {
        let mut headers = reply.headers.clone();
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        Self {
            chunked: true,
            ..Self::new(head(reply, &headers, &[]).into(), pieces, ending)
        }
    }

    fn new(head: Bytes, pieces: Vec<Piece>, ending: Ending) -> Self {
        Self {
            head,
            body: BrokenBody { pieces, ending },
            chunked: false,
        }
    }
}

/// A connection as the sandbox accepts it, encrypted or not.
pub(crate) trait Connection: AsyncRead + AsyncWrite + Send + Unpin + 'static {
    /// The socket at the bottom of it.
    fn socket(&self) -> &TcpStream;
}

impl Connection for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

#[cfg(feature = "tls")]
impl Connection for tokio_rustls::server::TlsStream<TcpStream> {
    fn socket(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// Sends what there is to send and ends the connection in the way that the fault wants.
pub(crate) async fn carry_out(reply: WireReply, mut connection: impl Connection) {
    // A client that has gone away has seen enough of the fault.
    if send(&reply, &mut connection).await.is_err() {
        return;
    }
    match reply.body.ending {
        Ending::Close | Ending::Truncate => {
            if connection.shutdown().await.is_ok() {
                // A socket that is closed over unread bytes is reset, and the reply with it.
                silence(connection).await;
            }
        }
        // With no time to linger, closing a socket resets it. Should that fail, it is closed.
        Ending::Reset => drop(connection.socket().set_zero_linger()),
        Ending::Hang => silence(connection).await,
    }
}

/// Says nothing until the client hangs up.
pub(crate) async fn silence(mut connection: impl Connection) {
    let mut unread = [0; 1024];
    while connection
        .read(&mut unread)
        .await
        .is_ok_and(|read| read > 0)
    {}
}

async fn send(reply: &WireReply, connection: &mut impl Connection) -> io::Result<()> {
    connection.write_all(&reply.head).await?;
    for piece in &reply.body.pieces {
        match piece {
            Piece::Whole(bytes) => write(connection, bytes, reply.chunked).await?,
            Piece::Drip(bytes, every) => {
                // The head is there while the first byte is waited for.
                connection.flush().await?;
                for byte in bytes {
                    tokio::time::sleep(*every).await;
                    write(connection, &[*byte], reply.chunked).await?;
                    connection.flush().await?;
                }
            }
            Piece::Repeated(bytes, times) => {
                for _ in 0..*times {
                    write(connection, bytes, reply.chunked).await?;
                }
            }
        }
    }
    connection.flush().await
}

async fn write(connection: &mut impl Connection, bytes: &[u8], chunked: bool) -> io::Result<()> {
    if !chunked {
        return connection.write_all(bytes).await;
    }
    // An empty chunk would be the end of the body.
    if bytes.is_empty() {
        return Ok(());
    }
    let size = format!("{:x}\r\n", bytes.len());
    connection.write_all(size.as_bytes()).await?;
    connection.write_all(bytes).await?;
    connection.write_all(b"\r\n").await
}

/// The head of a reply as bytes: its own headers, then these lengths.
fn head(reply: &Reply, headers: &HeaderMap, lengths: &[usize]) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {}\r\n", reply.status).into_bytes();
    for (name, value) in headers {
        // A test may have written a length of its own; the fault is about this one.
        if *name == CONTENT_LENGTH {
            continue;
        }
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    for length in lengths {
        bytes.extend_from_slice(format!("content-length: {length}\r\n").as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}

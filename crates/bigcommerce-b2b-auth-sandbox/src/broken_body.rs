//! A body in pieces that may stall, drip or end too early, and the one description of it that
//! serves both ways to run: polled as a body in-process, written byte by byte on a socket.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::Frame;
use tokio::time::Sleep;

/// A part of a body.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    /// All at once.
    Whole(Bytes),
    /// One byte at a time, each after this wait.
    Drip(Bytes, Duration),
    /// The same bytes over and over, this often.
    Repeated(Bytes, usize),
}

/// What comes after the last piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The body is complete, and so is the exchange. What the head promised may be more than what
    /// came; without a socket there is nobody to notice.
    Close,
    /// The connection is closed with bytes still due.
    Truncate,
    /// The connection is reset.
    Reset,
    /// Nothing: no byte, and no end either.
    Hang,
}

/// The pieces and their ending.
#[derive(Clone, Debug)]
pub(crate) struct BrokenBody {
    pub(crate) pieces: Vec<Piece>,
    pub(crate) ending: Ending,
}

impl BrokenBody {
    /// The body for a response in-process.
    pub(crate) fn into_body(self) -> Body {
        let Self { mut pieces, ending } = self;
        pieces.reverse();
        Body::new(Polled {
            pieces,
            ending,
            waiting: None,
        })
    }
}

/// The body as it is polled, its pieces in reverse.
struct Polled {
    pieces: Vec<Piece>,
    ending: Ending,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl HttpBody for Polled {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = &mut *self;
        let data = loop {
            match this.pieces.last_mut() {
                Some(Piece::Whole(bytes)) => {
                    let bytes = std::mem::take(bytes);
                    this.pieces.pop();
                    if !bytes.is_empty() {
                        break bytes;
                    }
                }
                Some(Piece::Drip(bytes, every)) if !bytes.is_empty() => {
                    let every = *every;
                    let waiting = this
                        .waiting
                        .get_or_insert_with(|| Box::pin(tokio::time::sleep(every)));
                    ready!(waiting.as_mut().poll(context));
                    this.waiting = None;
                    break bytes.split_to(1);
                }
                Some(Piece::Repeated(bytes, left)) if *left > 0 => {
                    *left -= 1;
                    break bytes.clone();
                }
                Some(Piece::Drip(..) | Piece::Repeated(..)) => {
                    this.pieces.pop();
                }
                None => {
                    return match this.ending {
                        Ending::Close => Poll::Ready(None),
                        Ending::Truncate => Poll::Ready(Some(Err(io::Error::new(
                            io::ErrorKind::UnexpectedEof,
                            "sandbox: the connection was closed within the body",
                        )))),
                        Ending::Reset => Poll::Ready(Some(Err(io::Error::new(
                            io::ErrorKind::ConnectionReset,
                            "sandbox: the connection was reset within the body",
                        )))),
                        // Nobody is to be woken: that is the fault.
                        Ending::Hang => Poll::Pending,
                    };
                }
            }
        };
        Poll::Ready(Some(Ok(Frame::data(data))))
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    fn body(piece: Piece, ending: Ending) -> Body {
        let pieces = vec![Piece::Whole("ab".into()), piece];
        BrokenBody { pieces, ending }.into_body()
    }

    #[tokio::test(start_paused = true)]
    async fn pieces_come_in_their_order_and_in_their_time() {
        let started = tokio::time::Instant::now();
        let drip = Piece::Drip("cde".into(), Duration::from_secs(1));
        let read = to_bytes(body(drip, Ending::Close), usize::MAX).await;
        assert_eq!(read.unwrap(), "abcde");
        assert_eq!(started.elapsed(), Duration::from_secs(3));
        let repeated = Piece::Repeated("xy".into(), 2);
        let read = to_bytes(body(repeated, Ending::Close), usize::MAX).await;
        assert_eq!(read.unwrap(), "abxyxy");
    }

    #[tokio::test(start_paused = true)]
    async fn each_ending_is_what_it_is_called() {
        let nothing = || Piece::Whole(Bytes::new());
        for ending in [Ending::Truncate, Ending::Reset] {
            let read = to_bytes(body(nothing(), ending), usize::MAX).await;
            assert!(read.is_err(), "{ending:?}");
        }
        let read = to_bytes(body(nothing(), Ending::Hang), usize::MAX);
        let waited = tokio::time::timeout(Duration::from_secs(3_600), read).await;
        assert!(waited.is_err());
    }
}

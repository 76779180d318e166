//! A reply's body whose beginning was looked at: it comes out as it came in, frame by frame, whatever was read of it.

use std::{
    collections::VecDeque,
    fmt,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, Response, header};
use http_body::{Body, Frame, SizeHint};

/// How much of a body is looked at. A reply that refuses a token has no data, and is a tenth of it.
pub(super) const LONGEST_LOOK: usize = 64 * 1024;

/// The body of a reply that passed a [`TokenLayer`](crate::TokenLayer): what the service below it gave, unchanged, in pieces of
/// [`Bytes`].
pub struct PeekedBody<B: Body> {
    /// What was read of it already.
    read: VecDeque<Frame<Bytes>>,
    /// What ended the reading, for whoever comes to it.
    failure: Option<B::Error>,
    /// The rest; `None` once it is over.
    rest: Option<Pin<Box<B>>>,
}

/// What was read of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Look {
    Whole(Bytes),
    /// It is longer than what is looked at.
    Beginning(Bytes),
}

impl Look {
    /// The body, if it is the whole of it.
    pub(crate) fn whole(&self) -> Option<&[u8]> {
        match self {
            Self::Whole(body) => Some(body),
            Self::Beginning(_) => None,
        }
    }

    /// What there is of the body.
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Whole(body) | Self::Beginning(body) => body,
        }
    }
}

impl<B: Body> PeekedBody<B> {
    /// A body that nobody looks at.
    pub(crate) fn unread(body: B) -> Self {
        Self {
            read: VecDeque::new(),
            failure: None,
            rest: Some(Box::pin(body)),
        }
    }

    /// Reads the body to its end, or until there is as much of it as is looked at. `None` when it broke off before.
    pub(crate) async fn look(&mut self) -> Option<Look> {
        let mut whole = BytesMut::new();
        loop {
            let rest = self.rest.as_mut()?;
            match poll_fn(|context| rest.as_mut().poll_frame(context)).await {
                Some(Ok(frame)) => {
                    let frame = in_bytes(frame);
                    if let Some(data) = frame.data_ref() {
                        whole.extend_from_slice(data);
                    }
                    self.read.push_back(frame);
                    if whole.len() > LONGEST_LOOK {
                        return Some(Look::Beginning(whole.freeze()));
                    }
                }
                Some(Err(error)) => {
                    self.failure = Some(error);
                    self.rest = None;
                    return None;
                }
                None => {
                    self.rest = None;
                    return Some(Look::Whole(whole.freeze()));
                }
            }
        }
    }
}

/// Whether it is worth to look into a reply: JSON that is not packed, and not known to be longer than what is looked at.
pub(crate) fn is_readable<B: Body>(response: &Response<B>) -> bool {
    let headers = response.headers();
    let is_json = text(headers, header::CONTENT_TYPE).is_some_and(|kind| {
        let kind = kind.split(';').next().unwrap_or_default().trim();
        let kind = kind.to_ascii_lowercase();
        kind.ends_with("/json") || kind.ends_with("+json")
    });
    let is_plain = text(headers, header::CONTENT_ENCODING)
        .is_none_or(|encoding| encoding.trim().eq_ignore_ascii_case("identity"));
    is_json && is_plain && response.body().size_hint().lower() <= LONGEST_LOOK as u64
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

fn in_bytes<D: Buf>(frame: Frame<D>) -> Frame<Bytes> {
    // Costs nothing where the data are `Bytes` already.
    frame.map_data(|mut data| data.copy_to_bytes(data.remaining()))
}

impl<B: Body> Body for PeekedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if let Some(frame) = self.read.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        if let Some(failure) = self.failure.take() {
            return Poll::Ready(Some(Err(failure)));
        }
        match &mut self.rest {
            Some(rest) => rest
                .as_mut()
                .poll_frame(context)
                .map(|frame| frame.map(|frame| frame.map(in_bytes))),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.read.is_empty()
            && self.failure.is_none()
            && self.rest.as_ref().is_none_or(|rest| rest.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let read: usize = self
            .read
            .iter()
            .filter_map(Frame::data_ref)
            .map(Bytes::len)
            .sum();
        match &self.rest {
            Some(rest) => raised(&rest.size_hint(), read as u64),
            None => SizeHint::with_exact(read as u64),
        }
    }
}

/// The hint of a body that has so much more before it.
fn raised(hint: &SizeHint, by: u64) -> SizeHint {
    let mut raised = SizeHint::new();
    raised.set_lower(hint.lower().saturating_add(by));
    if let Some(upper) = hint.upper() {
        raised.set_upper(upper.saturating_add(by));
    }
    raised
}

/// The rest is pinned where it lies, and everything else may be moved.
impl<B: Body> Unpin for PeekedBody<B> {}

impl<B: Body> fmt::Debug for PeekedBody<B> {
    // What is in it may be anything, a token among it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeekedBody")
            .field("frames_read", &self.read.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::{FutureExt as _, StreamExt as _, stream};
    use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};

    use super::*;

    /// A body of these pieces, which says nothing of its length, and breaks off where there is an error.
    fn pieces(pieces: Vec<Result<&'static [u8], &'static str>>) -> BoxBody<Bytes, &'static str> {
        let frames = pieces
            .into_iter()
            .map(|piece| piece.map(|piece| Frame::data(Bytes::from_static(piece))));
        BodyExt::boxed(StreamBody::new(stream::iter(frames)))
    }

    fn look<B: Body>(body: &mut PeekedBody<B>) -> Option<Look> {
        body.look().now_or_never().expect("nothing is waited for")
    }

    /// The body, of which all was read.
    fn whole<B: Body>(body: &mut PeekedBody<B>) -> Vec<u8> {
        let look = look(body).expect("it does not break off");
        look.whole().expect("it is not too long").to_vec()
    }

    /// What comes out: the pieces, and how it ends.
    fn out<B: Body<Error = &'static str>>(
        mut body: PeekedBody<B>,
    ) -> (Vec<Bytes>, Option<&'static str>) {
        let mut pieces = Vec::new();
        loop {
            match body.frame().now_or_never().expect("nothing is waited for") {
                Some(Ok(frame)) => pieces.push(frame.into_data().expect("they are data")),
                Some(Err(error)) => return (pieces, Some(error)),
                None => return (pieces, None),
            }
        }
    }

    const LONG: &[u8] = &[b'x'; LONGEST_LOOK];

    #[test]
    fn what_was_looked_at_comes_out_as_it_came_in() {
        let mut body = PeekedBody::unread(pieces(vec![Ok(b"one "), Ok(b"two")]));
        assert_eq!(whole(&mut body), b"one two");
        assert_eq!(body.size_hint().exact(), Some(7));
        assert!(!body.is_end_stream());
        assert_eq!(
            out(body),
            (vec![Bytes::from("one "), Bytes::from("two")], None)
        );

        let unread = PeekedBody::unread(pieces(vec![Ok(b"one")]));
        assert_eq!(out(unread), (vec![Bytes::from("one")], None));

        let mut body = PeekedBody::unread(pieces(vec![]));
        assert_eq!(whole(&mut body), b"");
        assert!(body.is_end_stream());
        assert_eq!(look(&mut body), None, "there is nothing left to be read");
        assert_eq!(out(body), (vec![], None));
    }

    #[test]
    fn a_body_that_is_too_long_is_not_waited_for() {
        let mut body = PeekedBody::unread(pieces(vec![Ok(LONG), Ok(b"y"), Ok(b"z")]));
        let beginning = look(&mut body).expect("it does not break off");
        assert!(beginning.whole().is_none());
        assert_eq!(beginning.bytes(), [LONG, b"y"].concat());
        let hint = body.size_hint();
        assert_eq!((hint.lower(), hint.upper()), (LONG.len() as u64 + 1, None));
        let (pieces_out, failure) = out(body);
        assert_eq!((pieces_out.concat().len(), failure), (LONG.len() + 2, None));

        assert_eq!(LONG.len(), 65_536);
        let mut body = PeekedBody::unread(pieces(vec![Ok(LONG)]));
        assert_eq!(whole(&mut body), LONG);
    }

    #[test]
    fn a_body_that_breaks_off_does_so_for_whoever_reads_it() {
        let mut body = PeekedBody::unread(pieces(vec![Ok(b"one"), Err("broken"), Ok(b"two")]));
        assert_eq!(look(&mut body), None);
        assert!(!body.is_end_stream());
        assert_eq!(out(body), (vec![Bytes::from("one")], Some("broken")));
    }

    #[test]
    fn lengths_that_are_known_stay_known() {
        let rest = SizeHint::with_exact(5);
        assert_eq!(raised(&rest, 3).exact(), Some(8));
        let mut body = PeekedBody::unread(Full::new(Bytes::from("whole")));
        assert_eq!(body.size_hint().exact(), Some(5));
        assert!(!body.is_end_stream());
        assert_eq!(whole(&mut body), b"whole");
        assert_eq!(body.size_hint().exact(), Some(5));
        assert!(body.frame().now_or_never().flatten().is_some());
        assert!(body.is_end_stream());
        assert_eq!(format!("{body:?}"), "PeekedBody { frames_read: 0, .. }");
    }

    #[test]
    fn trailers_are_passed_on() {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-checksum", http::HeaderValue::from_static("7"));
        let frames = [Frame::data(Bytes::from("a")), Frame::trailers(trailers)];
        let body = StreamBody::new(stream::iter(frames.map(Ok::<_, Infallible>)));
        let mut body = PeekedBody::unread(body);
        assert_eq!(whole(&mut body), b"a");
        let frames: Vec<_> = body
            .into_data_stream()
            .collect::<Vec<_>>()
            .now_or_never()
            .unwrap();
        assert_eq!(frames.len(), 1);
    }

    #[test]
    fn only_what_can_be_read_is_looked_at() {
        let response = |kind: Option<&str>, encoding: Option<&str>, length: usize| {
            let mut response = Response::new(Full::new(Bytes::from(vec![b'x'; length])));
            for (name, value) in [
                (header::CONTENT_TYPE, kind),
                (header::CONTENT_ENCODING, encoding),
            ] {
                if let Some(value) = value {
                    response.headers_mut().insert(name, value.parse().unwrap());
                }
            }
            is_readable(&response)
        };
        for kind in [
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/graphql-response+json",
            "text/json",
        ] {
            assert!(response(Some(kind), None, 10), "{kind}");
        }
        for kind in ["text/html", "application/jsonp", "json", "", "a;b=/json"] {
            assert!(!response(Some(kind), None, 10), "{kind}");
        }
        assert!(!response(None, None, 10));
        assert!(response(Some("application/json"), Some("identity"), 10));
        assert!(!response(Some("application/json"), Some("gzip"), 10));
        assert!(response(Some("application/json"), None, LONGEST_LOOK));
        assert!(!response(Some("application/json"), None, LONGEST_LOOK + 1));
    }
}

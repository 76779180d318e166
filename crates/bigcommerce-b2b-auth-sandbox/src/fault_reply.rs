//! What a fault makes of a reply: another one in its place, the same one spoilt, or one that does
//! not arrive. The last kind is written down twice: for whoever called in-process, and as the bytes
//! that a socket is to send.

use std::io;
use std::pin::Pin;
use std::time::{Duration, SystemTime};

use axum::body::{Body, Bytes, HttpBody as _};
use axum::http::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, LOCATION, RETRY_AFTER,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use flate2::{Compression, write::GzEncoder};
use serde_json::json;

use crate::assumptions::Assumptions;
use crate::broken_body::{BrokenBody, Ending, Piece};
use crate::fault::{ConnectionFault, Fault, MAINTENANCE_RETRY_AFTER, RedirectTarget, WrongLength};
use crate::gateway;
use crate::rate_limit::Standing;
use crate::reply::{Refusal, Reply};
use crate::wire::WireReply;

const MESSAGE: &str = "sandbox: a fault";
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=UTF-8");

/// How much of an endless body is sent at once.
const CHUNK: usize = 64 * 1024;

/// The reply that stands in place of the operation's, if the fault has one.
pub(crate) fn in_place(
    fault: &Fault,
    request: &Parts,
    now: SystemTime,
    assumptions: &Assumptions,
) -> Option<Reply> {
    match fault {
        Fault::HtmlError { status, .. } => Some(html(*status)),
        Fault::EmptyError { status, .. } => Some(Reply::empty(*status)),
        Fault::ServerError { status, .. } => Some(Refusal::new(*status, MESSAGE).into()),
        Fault::BodyCode { code, .. } => Some(Reply::json(
            StatusCode::OK,
            &json!({ "code": code, "data": { "errMsg": MESSAGE }, "meta": { "message": MESSAGE } }),
        )),
        Fault::Redirect { status, to } => Some(redirect(*status, to, request)),
        Fault::TooManyRequests { signals, wait } => {
            let standing = Standing {
                allocated: 0,
                window: *wait,
                remaining: 0,
                resets_after: *wait,
            };
            let assumptions = assumptions.clone().throttle_signals(signals.clone());
            Some(gateway::too_many_requests(standing, now, &assumptions))
        }
        Fault::Maintenance { retry_after } => Some(maintenance(*retry_after)),
        Fault::GzipOfZeros { unpacked } => {
            let mut reply = Reply::json(StatusCode::OK, &json!({}));
            reply.body = gzip_of_zeros((*unpacked).min(Fault::ENDLESS_BODY_CAP)).into();
            let gzip = HeaderValue::from_static("gzip");
            reply.headers.insert(CONTENT_ENCODING, gzip);
            Some(reply)
        }
        _ => None,
    }
}

/// A gzip file that unpacks to this many zero bytes.
fn gzip_of_zeros(unpacked: usize) -> Vec<u8> {
    let mut file = GzEncoder::new(Vec::new(), Compression::fast());
    let mut zeros = io::Read::take(io::repeat(0), unpacked as u64);
    // Writing to a vector cannot fail.
    let _ = io::copy(&mut zeros, &mut file);
    file.finish().unwrap_or_default()
}

/// Whether the reply comes from in front of the service, where nobody knows of a store's window.
pub(crate) fn hides_window(fault: &Fault) -> bool {
    matches!(
        fault,
        Fault::HtmlError { .. }
            | Fault::EmptyError { .. }
            | Fault::Redirect { .. }
            | Fault::TooManyRequests { .. }
            | Fault::Maintenance { .. }
    )
}

/// The fault that every request of a store meets while the store is switched to maintenance.
pub(crate) fn maintenance_fault() -> Fault {
    Fault::Maintenance {
        retry_after: MAINTENANCE_RETRY_AFTER,
    }
}

/// The reply of such a store, for a fault of the connection to work on.
pub(crate) fn maintenance_reply() -> Reply {
    maintenance(MAINTENANCE_RETRY_AFTER)
}

/// Waits for the first part of a request's body, or for its end.
pub(crate) async fn first_part(body: Body) {
    let mut body = body;
    // An error ends the body as well; the connection is about to end anyway.
    let _ = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await;
}

/// The reply as a response: spoilt, broken or left as it is, with what the layers above need to
/// know among its extensions.
pub(crate) fn deliver(fault: &Fault, mut reply: Reply) -> Response<Body> {
    spoil(fault, &mut reply);
    let mut response = match break_off(fault, reply) {
        Ok(broken) => broken,
        Err(reply) => (*reply).into(),
    };
    response.extensions_mut().insert(fault.clone());
    response
}

/// The end of a connection on which an earlier reply was the last.
pub(crate) fn closed_on_reuse() -> Response<Body> {
    let mut response = lost(ConnectionFault::Reset, WireReply::nothing(Ending::Close));
    response.extensions_mut().insert(Fault::CloseOnReuse);
    response
}

fn html(status: StatusCode) -> Reply {
    let mut reply = Reply::empty(status);
    reply.headers.insert(CONTENT_TYPE, HTML);
    reply.body = format!(
        "<html>\r\n<head><title>{status}</title></head>\r\n<body><h1>{status}</h1></body>\r\n</html>\r\n"
    )
    .into();
    reply
}

fn maintenance(retry_after: Duration) -> Reply {
    let mut reply = html(StatusCode::SERVICE_UNAVAILABLE);
    let seconds = gateway::whole_seconds(retry_after);
    reply.headers.insert(RETRY_AFTER, seconds.into());
    reply
}

fn redirect(status: StatusCode, to: &RedirectTarget, request: &Parts) -> Reply {
    let path = request.uri.path();
    let other = || format!("https://elsewhere.invalid{path}");
    let location = match to {
        RedirectTarget::OtherHost => other(),
        RedirectTarget::PlainHttp => {
            let host = request
                .headers
                .get(HOST)
                .and_then(|host| host.to_str().ok());
            format!("http://{}{path}", host.unwrap_or("plain.invalid"))
        }
        RedirectTarget::Base(base) => format!("{}{path}", base.trim_end_matches('/')),
    };
    let mut reply = html(status);
    if let Ok(location) = HeaderValue::try_from(location).or_else(|_| other().try_into()) {
        reply.headers.insert(LOCATION, location);
    }
    reply
}

/// What changes a reply that arrives.
fn spoil(fault: &Fault, reply: &mut Reply) {
    match fault {
        Fault::BadUtf8 => reply.body = with_bad_utf8(&reply.body).into(),
        Fault::WrongContentType { content_type } => {
            reply.headers.insert(CONTENT_TYPE, content_type.clone());
        }
        _ => {}
    }
}

/// JSON as the sandbox writes it, with a byte that is no UTF-8 before the end of each text that is
/// a value; the names of fields stay as they are. Anything else gets the byte at its end.
fn with_bad_utf8(json: &[u8]) -> Vec<u8> {
    const NO_UTF8: u8 = 0xff;
    let mut spoilt = Vec::with_capacity(json.len() + 16);
    let (mut in_text, mut escaped, mut done) = (false, false, false);
    let mut bytes = json.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if byte == b'"' && !escaped {
            // What the sandbox writes has no blanks: the colon stands right after a name.
            if in_text && bytes.peek() != Some(&b':') {
                spoilt.push(NO_UTF8);
                done = true;
            }
            in_text = !in_text;
        }
        escaped = in_text && byte == b'\\' && !escaped;
        spoilt.push(byte);
    }
    if !done {
        spoilt.push(NO_UTF8);
    }
    spoilt
}

/// The response of a fault that keeps the reply from arriving as it is; the reply itself for any
/// other. Boxed, since it is the larger of the two by far and the rarer one here.
fn break_off(fault: &Fault, reply: Reply) -> Result<Response<Body>, Box<Reply>> {
    let half = reply.body.len() / 2;
    let nothing = |what, ending| Ok(lost(what, WireReply::nothing(ending)));
    match fault {
        Fault::RefuseConnection => nothing(ConnectionFault::NotSent, Ending::Reset),
        Fault::ResetBeforeRequest | Fault::ResetDuringRequest | Fault::ResetBeforeReply { .. } => {
            nothing(ConnectionFault::Reset, Ending::Reset)
        }
        Fault::CloseBeforeReply { .. } => nothing(ConnectionFault::Reset, Ending::Close),
        Fault::StallBeforeReply { .. } => nothing(ConnectionFault::Stall, Ending::Hang),
        Fault::StallInHead => Ok(lost(ConnectionFault::Stall, WireReply::half_head(&reply))),
        Fault::ResetDuringReply => Ok(cut(reply, half, Ending::Reset)),
        Fault::StallInBody => Ok(cut(reply, half, Ending::Hang)),
        Fault::TruncatedBody => Ok(cut(reply, half, Ending::Truncate)),
        Fault::ResetAfterReply => {
            // In-process the whole reply has been read by the time of the reset.
            let whole = vec![Piece::Whole(reply.body.clone())];
            let length = reply.body.len();
            let mut response = measured(&reply, length, whole.clone(), Ending::Close);
            let wire = WireReply::measured(&reply, length, whole, Ending::Reset);
            response.extensions_mut().insert(wire);
            Ok(response)
        }
        Fault::SlowBody { every } => {
            let drip = vec![Piece::Drip(reply.body.clone(), *every)];
            Ok(measured(&reply, reply.body.len(), drip, Ending::Close))
        }
        Fault::EndlessBody => Ok(endless(&reply)),
        Fault::WrongContentLength { length } => {
            let whole = vec![Piece::Whole(reply.body.clone())];
            Ok(match length {
                WrongLength::TooLong => {
                    let due = reply.body.len().saturating_mul(2).max(1);
                    measured(&reply, due, whole, Ending::Truncate)
                }
                WrongLength::TooShort => {
                    // A client on a socket reads as much as the head says; in-process, somebody has
                    // to stop it there.
                    let seen = vec![Piece::Whole(reply.body.slice(..half))];
                    let mut response = measured(&reply, half, seen, Ending::Close);
                    let wire = WireReply::measured(&reply, half, whole, Ending::Close);
                    response.extensions_mut().insert(wire);
                    response
                }
            })
        }
        Fault::DoubleContentLength => Ok(lost(
            ConnectionFault::Unreadable,
            WireReply::double_length(&reply),
        )),
        Fault::HeaderFlood { headers } => Ok(lost(
            ConnectionFault::Unreadable,
            WireReply::flood(&reply, *headers),
        )),
        _ => Err(Box::new(reply)),
    }
}

/// A response of which nothing, or nothing readable, arrives.
fn lost(what: ConnectionFault, wire: WireReply) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response.extensions_mut().insert(what);
    response.extensions_mut().insert(wire);
    response
}

/// The beginning of the reply's body under the head that promises all of it.
fn cut(reply: Reply, at: usize, ending: Ending) -> Response<Body> {
    let beginning = vec![Piece::Whole(reply.body.slice(..at))];
    measured(&reply, reply.body.len(), beginning, ending)
}

/// A response with this `Content-Length` whatever its body.
fn measured(reply: &Reply, length: usize, pieces: Vec<Piece>, ending: Ending) -> Response<Body> {
    let wire = WireReply::measured(reply, length, pieces.clone(), ending);
    let mut headers = reply.headers.clone();
    headers.insert(CONTENT_LENGTH, length.into());
    respond(reply.status, headers, BrokenBody { pieces, ending }, wire)
}

/// The reply's head over a body that begins like JSON and goes on with blanks, which JSON allows
/// any number of.
fn endless(reply: &Reply) -> Response<Body> {
    let pieces = vec![
        Piece::Whole(Bytes::from_static(b"{")),
        Piece::Repeated(vec![b' '; CHUNK].into(), Fault::ENDLESS_BODY_CAP / CHUNK),
    ];
    let wire = WireReply::chunked(reply, pieces.clone(), Ending::Truncate);
    let body = BrokenBody {
        pieces,
        ending: Ending::Truncate,
    };
    respond(reply.status, reply.headers.clone(), body, wire)
}

fn respond(
    status: StatusCode,
    headers: HeaderMap,
    body: BrokenBody,
    wire: WireReply,
) -> Response<Body> {
    let mut response = Response::new(body.into_body());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response.extensions_mut().insert(wire);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_spoilt_and_names_are_not() {
        let spoil = |text: &str| with_bad_utf8(text.as_bytes());
        assert_eq!(spoil(r#"{"a":"b"}"#), b"{\"a\":\"b\xff\"}");
        assert_eq!(
            spoil(r#"["\"",{"a\\":1}]"#),
            b"[\"\\\"\xff\",{\"a\\\\\":1}]"
        );
        assert_eq!(spoil("[]"), b"[]\xff");
        assert_eq!(spoil(""), b"\xff");
    }
}

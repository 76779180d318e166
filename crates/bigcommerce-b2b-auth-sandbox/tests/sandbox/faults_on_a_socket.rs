//! Faults behind a real socket: what a real HTTP client makes of each, and the bytes themselves
//! where a client would hide them.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use bigcommerce_b2b_auth_sandbox::{
    Fault, FaultPlan, Moment, Operation, RunningSandbox, Sandbox, WrongLength, demo,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::support::Ask;

/// How long a client waits that is to give up.
const BRIEF: Duration = Duration::from_millis(150);

/// How long a client waits that is not: longer than a busy machine ever takes.
const LONG: Duration = Duration::from_secs(30);

/// What a client saw.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    /// A reply, read to its end.
    Reply(StatusCode),
    /// No connection.
    Refused,
    /// A failure before the reply had a head.
    NoHead,
    /// A failure within the body.
    BrokenBody,
    TimedOut,
}

fn client() -> reqwest::Client {
    client_with(LONG)
}

fn client_with(patience: Duration) -> reqwest::Client {
    reqwest::Client::builder()
        .timeout(patience)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .build()
        .unwrap()
}

async fn see(ask: &Ask, base_url: &str, client: &reqwest::Client) -> Seen {
    let failed = |error: reqwest::Error, otherwise| match error {
        error if error.is_timeout() => Seen::TimedOut,
        error if error.is_connect() => Seen::Refused,
        _ => otherwise,
    };
    let mut response = match ask.send_to(base_url, client).await {
        Ok(response) => response,
        Err(error) => return failed(error, Seen::NoHead),
    };
    let mut read = 0;
    loop {
        match response.chunk().await {
            Ok(Some(part)) => read += part.len(),
            Ok(None) => return Seen::Reply(response.status()),
            Err(error) => return failed(error, Seen::BrokenBody),
        }
        // Nobody should read on.
        if read > 1024 * 1024 {
            return Seen::BrokenBody;
        }
    }
}

/// What a client is to see of a fault that hits a request which would succeed.
fn expected(fault: &Fault) -> Seen {
    let status = |status: u16| Seen::Reply(StatusCode::from_u16(status).unwrap());
    match fault {
        Fault::RefuseConnection
        | Fault::ResetBeforeRequest
        | Fault::ResetDuringRequest
        | Fault::ResetBeforeReply { .. }
        | Fault::CloseBeforeReply { .. }
        | Fault::DoubleContentLength
        | Fault::HeaderFlood { .. } => Seen::NoHead,
        Fault::StallBeforeReply { .. }
        | Fault::StallInHead
        | Fault::StallInBody
        | Fault::SlowBody { .. } => Seen::TimedOut,
        Fault::ResetDuringReply
        | Fault::TruncatedBody
        | Fault::EndlessBody
        | Fault::WrongContentLength {
            length: WrongLength::TooLong,
        } => Seen::BrokenBody,
        Fault::HtmlError { status, .. }
        | Fault::EmptyError { status, .. }
        | Fault::ServerError { status, .. }
        | Fault::Redirect { status, .. } => Seen::Reply(*status),
        Fault::TooManyRequests { .. } => status(429),
        Fault::Maintenance { .. } => status(503),
        _ => status(200),
    }
}

#[tokio::test]
async fn each_fault_of_each_operation_reaches_a_client() {
    let mut waits = JoinSet::new();
    let (patient, brief) = (client(), client_with(BRIEF));
    for (name, fault) in Fault::catalogue() {
        for operation in Operation::ALL {
            // Those who wait do so together.
            if expected(&fault) == Seen::TimedOut {
                waits.spawn(check(name, fault.clone(), operation, brief.clone()));
            } else {
                check(name, fault.clone(), operation, patient.clone()).await;
            }
        }
    }
    while let Some(run) = waits.join_next().await {
        run.unwrap();
    }
}

async fn check(name: &'static str, fault: Fault, operation: Operation, client: reqwest::Client) {
    let what = format!("{name}, {}", operation.operation_id());
    let sandbox = Sandbox::builder().start().await.unwrap();
    let each = Ask::each(&sandbox).into_iter();
    let (_, ask) = each.into_iter().find(|(it, _)| *it == operation).unwrap();
    sandbox.fail_next(operation, fault.clone());
    let seen = see(&ask, sandbox.base_url(), &client).await;
    assert_eq!(seen, expected(&fault), "{what}");
    // A busy machine may not have got around to it within a brief wait.
    while sandbox.request_count() < u64::from(fault.reaches_service()) {
        tokio::task::yield_now().await;
    }
    let tokens = match operation {
        Operation::CreateServerToken if fault.is_taken() => 2,
        Operation::DeleteServerToken if fault.is_taken() => 0,
        _ => 1,
    };
    assert_eq!(
        sandbox.server_tokens(demo::STORE_HASH).len(),
        tokens,
        "{what}"
    );
    assert_eq!(sandbox.faults_injected(), 1, "{what}");
    assert_eq!(
        sandbox.request_count(),
        u64::from(fault.reaches_service()),
        "{what}"
    );
}

/// Sends a mint over a connection of its own, and gives what came back and how it ended: `None` for
/// an orderly end.
async fn exchange_bytes(sandbox: &RunningSandbox, fault: Fault) -> (String, Option<ErrorKind>) {
    sandbox.fail_next(Operation::Mint, fault);
    let mut socket = TcpStream::connect(sandbox.address()).await.unwrap();
    socket.write_all(&Ask::mint().bytes()).await.unwrap();
    let mut received = Vec::new();
    let mut buffer = [0; 16 * 1024];
    let ending = loop {
        match socket.read(&mut buffer).await {
            Ok(0) => break None,
            Ok(read) => received.extend_from_slice(&buffer[..read]),
            Err(error) => break Some(error.kind()),
        }
    };
    (String::from_utf8(received).unwrap(), ending)
}

/// The announced lengths and the length of the body.
fn lengths(reply: &str) -> (Vec<usize>, usize) {
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    let announced = head
        .lines()
        .filter_map(|line| line.strip_prefix("content-length: "));
    (
        announced.map(|length| length.parse().unwrap()).collect(),
        body.len(),
    )
}

#[tokio::test]
async fn resets_are_resets_and_closures_are_closures() {
    let sandbox = Sandbox::builder().start().await.unwrap();
    let moment = Moment::AfterEffect;
    let reset = Some(ErrorKind::ConnectionReset);
    for fault in [
        Fault::RefuseConnection,
        Fault::ResetBeforeRequest,
        Fault::ResetDuringRequest,
        Fault::ResetBeforeReply { moment },
    ] {
        let outcome = exchange_bytes(&sandbox, fault.clone()).await;
        assert_eq!(outcome, (String::new(), reset), "{fault:?}");
    }
    let closed = exchange_bytes(&sandbox, Fault::CloseBeforeReply { moment }).await;
    assert_eq!(closed, (String::new(), None));

    for (fault, ending) in [
        (Fault::ResetDuringReply, reset),
        (Fault::TruncatedBody, None),
    ] {
        let (reply, how) = exchange_bytes(&sandbox, fault.clone()).await;
        let (announced, length) = lengths(&reply);
        assert_eq!((length, how), (announced[0] / 2, ending), "{fault:?}");
    }
    let (reply, how) = exchange_bytes(&sandbox, Fault::ResetAfterReply).await;
    let (announced, length) = lengths(&reply);
    assert_eq!((announced, how), (vec![length], reset));
}

#[tokio::test]
async fn lengths_are_wrong_in_the_way_that_was_asked_for() {
    let sandbox = Sandbox::builder().start().await.unwrap();
    let wrong = |length| Fault::WrongContentLength { length };
    let (reply, _) = exchange_bytes(&sandbox, wrong(WrongLength::TooShort)).await;
    let (announced, length) = lengths(&reply);
    assert_eq!(announced, [length / 2]);
    let (reply, _) = exchange_bytes(&sandbox, wrong(WrongLength::TooLong)).await;
    let (announced, length) = lengths(&reply);
    assert_eq!(announced, [length * 2]);
    let (reply, _) = exchange_bytes(&sandbox, Fault::DoubleContentLength).await;
    let (announced, length) = lengths(&reply);
    assert_eq!(announced, [length, length + 1]);
}

#[tokio::test]
async fn a_flood_has_as_many_headers_as_it_says_before_a_good_reply() {
    let sandbox = Sandbox::builder().start().await.unwrap();
    let (reply, _) = exchange_bytes(&sandbox, Fault::HeaderFlood { headers: 500 }).await;
    assert_eq!(reply.matches("x-flood-").count(), 500);
    assert!(reply.ends_with('}') && lengths(&reply).0[0] == lengths(&reply).1);
    // A flood that a client can bear is no reason to fail.
    sandbox.fail_next(Operation::Mint, Fault::HeaderFlood { headers: 20 });
    let seen = see(&Ask::mint(), sandbox.base_url(), &client()).await;
    assert_eq!(seen, Seen::Reply(StatusCode::OK));
}

#[tokio::test]
async fn a_slow_body_comes_byte_by_byte_and_whole() {
    let sandbox = Sandbox::builder().start().await.unwrap();
    let every = Duration::from_micros(50);
    sandbox.fail_next(Operation::ListServerTokens, Fault::SlowBody { every });
    let list = Ask::list(&sandbox);
    let mut socket = TcpStream::connect(sandbox.address()).await.unwrap();
    socket.write_all(&list.bytes()).await.unwrap();
    let mut byte_reads = 0;
    let mut received = Vec::new();
    let mut buffer = [0; 16 * 1024];
    loop {
        let read = socket.read(&mut buffer).await.unwrap();
        if read == 0 {
            break;
        }
        byte_reads += usize::from(read == 1);
        received.extend_from_slice(&buffer[..read]);
    }
    let (announced, length) = lengths(std::str::from_utf8(&received).unwrap());
    assert_eq!(announced, [length]);
    assert!(byte_reads > 10, "{byte_reads} of {length}");
}

#[tokio::test]
async fn an_endless_body_ends_when_the_client_has_had_enough() {
    let sandbox = Sandbox::builder().start().await.unwrap();
    sandbox.fail_next(Operation::Mint, Fault::EndlessBody);
    let mut response = Ask::mint()
        .send_to(sandbox.base_url(), &client())
        .await
        .unwrap();
    let mut read = 0;
    while read < 1024 * 1024 {
        read += response.chunk().await.unwrap().unwrap().len();
    }
    drop(response);
    // It would wait for the body if that still went on.
    sandbox.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_endless_body_ends_without_an_end_for_a_client_that_never_has_enough() {
    let sandbox = Sandbox::builder().start().await.unwrap();
    sandbox.fail_next(Operation::Mint, Fault::EndlessBody);
    let mut socket = TcpStream::connect(sandbox.address()).await.unwrap();
    socket.write_all(&Ask::mint().bytes()).await.unwrap();
    let (mut total, mut last) = (0, Vec::new());
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let read = socket.read(&mut buffer).await.unwrap();
        if read == 0 {
            break;
        }
        total += read;
        last.extend_from_slice(&buffer[..read]);
        last.drain(..last.len().saturating_sub(16));
    }
    let cap = Fault::ENDLESS_BODY_CAP;
    assert!((cap..cap + cap / 100).contains(&total), "{total}");
    assert!(!last.ends_with(b"0\r\n\r\n"), "no last chunk");
}

#[tokio::test]
async fn a_connection_is_closed_on_reuse_and_another_one_is_not() {
    let sandbox = Sandbox::builder().start().await.unwrap();
    let (first, second) = (client(), client());
    sandbox.fail_next(Operation::Mint, Fault::CloseOnReuse);
    let ok = Seen::Reply(StatusCode::OK);
    assert_eq!(see(&Ask::mint(), sandbox.base_url(), &first).await, ok);
    assert_eq!(see(&Ask::create(), sandbox.base_url(), &second).await, ok);
    assert_eq!(see(&Ask::create(), sandbox.base_url(), &second).await, ok);
    let closed = see(&Ask::create(), sandbox.base_url(), &first).await;
    assert_eq!(closed, Seen::NoHead);
    assert_eq!(sandbox.server_tokens(demo::STORE_HASH).len(), 3);
    assert_eq!(see(&Ask::create(), sandbox.base_url(), &first).await, ok);
    assert_eq!(sandbox.request_count(), 4);
}

#[tokio::test]
async fn faults_that_spare_the_connection_leave_it_open() {
    let sandbox = Sandbox::builder().start().await.unwrap();
    let mut socket = TcpStream::connect(sandbox.address()).await.unwrap();
    let (status, moment) = (StatusCode::BAD_GATEWAY, Moment::BeforeEffect);
    for fault in [
        Fault::HtmlError { status, moment },
        Fault::EmptyError { status, moment },
        Fault::BodyCode { code: 422, moment },
        Fault::BadUtf8,
    ] {
        sandbox.fail_next(Operation::Mint, fault.clone());
        socket.write_all(&Ask::mint().bytes()).await.unwrap();
        let mut buffer = [0; 16 * 1024];
        let read = socket.read(&mut buffer).await.unwrap();
        assert!(buffer[..read].starts_with(b"HTTP/1.1 "), "{fault:?}");
    }
}

#[tokio::test]
async fn the_port_can_refuse_connections_and_take_them_again() {
    let sandbox = Sandbox::builder().start().await.unwrap();
    let client = client();
    let see = async || see(&Ask::mint(), sandbox.base_url(), &client).await;
    assert_eq!(see().await, Seen::Reply(StatusCode::OK));
    // The connection that the client keeps open ends too.
    sandbox.stop_listening().await;
    sandbox.stop_listening().await;
    assert_eq!(see().await, Seen::Refused);
    sandbox.resume_listening().await.unwrap();
    sandbox.resume_listening().await.unwrap();
    assert_eq!(see().await, Seen::Reply(StatusCode::OK));
    assert_eq!(sandbox.request_count(), 2);
    assert_eq!(sandbox.faults_injected(), 0);
}

#[tokio::test]
async fn connections_can_be_left_without_a_word() {
    let sandbox = Sandbox::builder().start().await.unwrap();
    sandbox.hold_connections(true);
    let seen = see(&Ask::mint(), sandbox.base_url(), &client_with(BRIEF)).await;
    assert_eq!(seen, Seen::TimedOut);
    assert_eq!(sandbox.request_count(), 0);
    sandbox.hold_connections(false);
    let seen = see(&Ask::mint(), sandbox.base_url(), &client()).await;
    assert_eq!(seen, Seen::Reply(StatusCode::OK));
}

#[tokio::test]
async fn a_stalled_reply_does_not_keep_the_sandbox_from_ending() {
    for fault in [
        Fault::StallBeforeReply {
            moment: Moment::AfterEffect,
        },
        Fault::StallInBody,
        Fault::EndlessBody,
        Fault::SlowBody {
            every: Duration::from_secs(3_600),
        },
    ] {
        let sandbox = Sandbox::builder().start().await.unwrap();
        let handle = sandbox.sandbox().clone();
        handle.fail_next(Operation::Mint, fault.clone());
        let mut socket = TcpStream::connect(sandbox.address()).await.unwrap();
        socket.write_all(&Ask::mint().bytes()).await.unwrap();
        while handle.faults_injected() == 0 {
            tokio::task::yield_now().await;
        }
        let started = Instant::now();
        sandbox.shutdown().await.unwrap();
        assert!(started.elapsed() < Duration::from_secs(5), "{fault:?}");
    }
}

#[tokio::test]
async fn a_thousand_requests_at_random_meet_the_faults_of_the_plan() {
    let plan = FaultPlan::mixed(42, 0.3);
    let sandbox = Sandbox::builder()
        .rate_limit(bigcommerce_b2b_auth_sandbox::RateLimit::unlimited())
        .faults(plan)
        .start()
        .await
        .unwrap();
    let client = client();
    let mut fine = 0;
    for _ in 0..1_000 {
        let seen = see(&Ask::mint(), sandbox.base_url(), &client).await;
        fine += u32::from(seen == Seen::Reply(StatusCode::OK));
    }
    let met = sandbox.faults_injected();
    assert!((240..360).contains(&met), "{met}");
    assert!(fine >= 640, "{fine}");
}

//! Faults in-process: which request meets one, what it does to the service, and what a caller gets.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{Response, StatusCode};
use bigcommerce_b2b_auth_sandbox::{
    CannedReply, ConnectionFault, Customer, Fault, FaultPlan, Moment, Operation, RedirectTarget,
    RetrySignal, Sandbox, Skew, Store, WrongLength, demo,
};
use serde_json::json;

use crate::support::{Ask, NOW, demo_sandbox, standing_still};

fn ask(sandbox: &Sandbox, operation: Operation) -> Ask {
    let mut each = Ask::each(sandbox).into_iter();
    each.find(|(which, _)| *which == operation).unwrap().1
}

fn connection_fault(response: &Response<Body>) -> Option<ConnectionFault> {
    response.extensions().get().copied()
}

/// A mint that meets a fault.
async fn faulty_mint(sandbox: &Sandbox, fault: Fault) -> Response<Body> {
    sandbox.fail_next(Operation::Mint, fault);
    Ask::mint().send_unread(sandbox).await
}

#[tokio::test]
async fn each_fault_does_to_each_operation_what_it_says() {
    for (name, fault) in Fault::catalogue() {
        for operation in Operation::ALL {
            let what = format!("{name}, {}", operation.operation_id());
            let sandbox = demo_sandbox();
            let request = ask(&sandbox, operation);
            sandbox.fail_next(operation, fault.clone());
            let response = request.send_unread(&sandbox).await;

            let tokens = match operation {
                Operation::CreateServerToken => 2,
                Operation::DeleteServerToken => 0,
                _ => 1,
            };
            let expected = if fault.is_taken() { tokens } else { 1 };
            let left = sandbox.server_tokens(demo::STORE_HASH).len();
            assert_eq!(left, expected, "{what}");

            let spent = 150 - sandbox.remaining(demo::STORE_HASH).unwrap();
            let free = matches!(fault, Fault::TooManyRequests { .. });
            let reached = u64::from(fault.reaches_service());
            let deleted_own_token = operation == Operation::DeleteServerToken && fault.is_taken();
            assert_eq!(sandbox.request_count_to(operation), reached, "{what}");
            assert_eq!(spent, if free { 0 } else { reached }, "{what}");
            if let [record] = &sandbox.requests()[..] {
                assert_eq!(record.fault(), Some(&fault), "{what}");
            }

            assert_eq!(sandbox.faults_injected(), 1, "{what}");
            assert_eq!(sandbox.fault_counts(), BTreeMap::from([(fault.name(), 1)]));
            assert_eq!(response.extensions().get(), Some(&fault), "{what}");
            let lost = match fault.name() {
                "refuse-connection" => Some(ConnectionFault::NotSent),
                "reset-before-request"
                | "reset-during-request"
                | "reset-before-reply"
                | "close-before-reply" => Some(ConnectionFault::Reset),
                "stall-before-reply" | "stall-in-head" => Some(ConnectionFault::Stall),
                "double-content-length" | "header-flood" => Some(ConnectionFault::Unreadable),
                _ => None,
            };
            assert_eq!(connection_fault(&response), lost, "{what}");

            if fault != Fault::CloseOnReuse && !deleted_own_token {
                let after = request.send_unread(&sandbox).await;
                assert_eq!(
                    after.status(),
                    200,
                    "{what}: the next one is as if nothing had been"
                );
                assert_eq!(after.extensions().get::<Fault>(), None);
            }
        }
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_has_given_half_by_then() {
    let sandbox = demo_sandbox();
    let whole = Ask::mint().send(&sandbox).await.body;
    for fault in [Fault::ResetDuringReply, Fault::TruncatedBody] {
        let response = faulty_mint(&sandbox, fault.clone()).await;
        let length = response.headers()["content-length"].to_str().unwrap();
        assert_eq!(length, whole.len().to_string());
        let mut body = response.into_body().into_data_stream();
        let half = next(&mut body).await.unwrap().unwrap();
        assert_eq!(half, whole.slice(..whole.len() / 2), "{fault:?}");
        assert!(next(&mut body).await.unwrap().is_err(), "{fault:?}");
    }
}

async fn next(
    body: &mut axum::body::BodyDataStream,
) -> Option<Result<axum::body::Bytes, axum::Error>> {
    use axum::body::HttpBody as _;
    let frame = std::future::poll_fn(|context| std::pin::Pin::new(&mut *body).poll_frame(context));
    Some(frame.await?.map(|frame| frame.into_data().unwrap()))
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stalls_or_drips_goes_by_the_paused_clock() {
    let sandbox = demo_sandbox();
    let whole = Ask::mint().send(&sandbox).await.body;

    let stalled = faulty_mint(&sandbox, Fault::StallInBody).await.into_body();
    let day = Duration::from_secs(24 * 60 * 60);
    let read = tokio::time::timeout(day, to_bytes(stalled, usize::MAX)).await;
    assert!(read.is_err(), "no end within a day");

    let every = Duration::from_secs(1);
    let slow = faulty_mint(&sandbox, Fault::SlowBody { every }).await;
    let started = tokio::time::Instant::now();
    assert_eq!(to_bytes(slow.into_body(), usize::MAX).await.unwrap(), whole);
    let expected = every * u32::try_from(whole.len()).unwrap();
    assert_eq!(started.elapsed(), expected);
}

#[tokio::test]
async fn a_body_without_an_end_ends_at_the_cap_with_an_error() {
    let sandbox = demo_sandbox();
    let response = faulty_mint(&sandbox, Fault::EndlessBody).await;
    assert_eq!(response.headers().get("content-length"), None);
    let mut body = response.into_body().into_data_stream();
    let (mut read, mut broken) = (0, false);
    while let Some(part) = next(&mut body).await {
        match part {
            Ok(part) => read += part.len(),
            Err(_) => {
                broken = true;
                break;
            }
        }
    }
    assert!(broken);
    assert_eq!(read, Fault::ENDLESS_BODY_CAP + 1);
}

#[tokio::test]
async fn a_wrong_length_shows_as_a_body_that_is_cut_or_falls_short() {
    let sandbox = demo_sandbox();
    let whole = Ask::mint().send(&sandbox).await.body;
    let wrong = |length| Fault::WrongContentLength { length };

    let short = faulty_mint(&sandbox, wrong(WrongLength::TooShort)).await;
    let announced = (whole.len() / 2).to_string();
    assert_eq!(short.headers()["content-length"], announced.as_str());
    let read = to_bytes(short.into_body(), usize::MAX).await.unwrap();
    assert_eq!(read, whole.slice(..whole.len() / 2));

    let long = faulty_mint(&sandbox, wrong(WrongLength::TooLong)).await;
    assert!(to_bytes(long.into_body(), usize::MAX).await.is_err());
}

#[tokio::test]
async fn zeros_are_packed_small_and_as_the_format_has_them() {
    // The checksums were computed independently, by Python's zlib, which also unpacked the files.
    for (unpacked, crc) in [
        (0_usize, 0_u32),
        (1, 0xd202_ef8d),
        (300, 0xb534_8fd2),
        (16 * 1024 * 1024, 0xa47c_a14a),
    ] {
        let sandbox = demo_sandbox();
        let response = faulty_mint(&sandbox, Fault::GzipOfZeros { unpacked }).await;
        assert_eq!(response.headers()["content-encoding"], "gzip");
        assert_eq!(response.headers()["content-type"], "application/json");
        let file = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        assert!(file.len() < 32 + unpacked / 150 + 300, "{}", file.len());
        let (rest, length) = file.split_at(file.len() - 4);
        assert_eq!(length, u32::try_from(unpacked).unwrap().to_le_bytes());
        assert_eq!(rest[rest.len() - 4..], crc.to_le_bytes(), "{unpacked}");
    }
}

#[tokio::test]
async fn a_spoilt_reply_is_otherwise_the_reply() {
    let sandbox = demo_sandbox();
    sandbox.fail_next(Operation::Mint, Fault::BadUtf8);
    let spoilt = Ask::mint().send(&sandbox).await;
    assert_eq!(spoilt.status, 200);
    assert!(std::str::from_utf8(&spoilt.body).is_err());
    let mended: Vec<u8> = spoilt
        .body
        .iter()
        .copied()
        .filter(|byte| *byte != 0xff)
        .collect();
    let mended: serde_json::Value = serde_json::from_slice(&mended).unwrap();
    assert!(mended["data"]["token"][0].is_string());

    let content_type = "image/png".parse().unwrap();
    sandbox.fail_next(Operation::Mint, Fault::WrongContentType { content_type });
    let wrong = Ask::mint().send(&sandbox).await;
    assert_eq!(wrong.header("content-type"), "image/png");
    wrong.claims(&sandbox, "/token/0");
}

#[tokio::test]
async fn errors_come_in_their_forms() {
    let sandbox = demo_sandbox();
    let (status, moment) = (StatusCode::BAD_GATEWAY, Moment::BeforeEffect);

    sandbox.fail_next(Operation::Mint, Fault::HtmlError { status, moment });
    let html = Ask::mint().send(&sandbox).await;
    assert_eq!(
        (html.status, html.header("content-type")),
        (status, "text/html; charset=UTF-8")
    );
    assert!(html.body.starts_with(b"<html>"));

    sandbox.fail_next(Operation::Mint, Fault::EmptyError { status, moment });
    let empty = Ask::mint().send(&sandbox).await;
    assert_eq!((empty.status, empty.header("content-type")), (status, ""));
    assert!(empty.body.is_empty());

    sandbox.fail_next(Operation::Mint, Fault::ServerError { status, moment });
    let answer = Ask::mint().send(&sandbox).await;
    answer.assert_error(502, "sandbox: a fault", "sandbox: a fault");

    sandbox.fail_next(Operation::Mint, Fault::BodyCode { code: 422, moment });
    let answer = Ask::mint().send(&sandbox).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.json()["code"]),
        (200, &json!(422))
    );

    for (fault, window) in [
        (Fault::HtmlError { status, moment }, false),
        (Fault::ServerError { status, moment }, true),
    ] {
        sandbox.fail_next(Operation::Mint, fault.clone());
        let answer = Ask::mint().send(&sandbox).await;
        let has = answer.headers.contains_key("x-requests-remaining");
        assert_eq!(has, window, "{fault:?}");
        assert!(answer.headers.contains_key("date"));
    }
}

#[tokio::test]
async fn a_redirect_takes_the_path_along_and_leaves_the_query() {
    let sandbox = demo_sandbox();
    let path = Operation::Exchange.path();
    for (to, expected) in [
        (
            RedirectTarget::OtherHost,
            format!("https://elsewhere.invalid{path}"),
        ),
        (
            RedirectTarget::PlainHttp,
            format!("http://api.example{path}"),
        ),
        (
            RedirectTarget::Base("https://trap.example/".to_owned()),
            format!("https://trap.example{path}"),
        ),
        (
            RedirectTarget::Base("https://trap\r\n".to_owned()),
            format!("https://elsewhere.invalid{path}"),
        ),
    ] {
        for status in [301, 302, 307, 308] {
            let status = StatusCode::from_u16(status).unwrap();
            let to = to.clone();
            sandbox.fail_next(Operation::Exchange, Fault::Redirect { status, to });
            let exchange = Ask::exchange("a-secret").header("host", "api.example");
            let answer = exchange.send(&sandbox).await;
            assert_eq!(
                (answer.status, answer.header("location")),
                (status, &*expected)
            );
        }
    }
}

#[tokio::test]
async fn a_429_says_when_in_the_named_forms_and_no_other() {
    use RetrySignal::{RateLimitTimeResetMs, RetryAfterDate, RetryAfterSeconds, XRetryAfter};
    let all = [
        ("retry-after", RetryAfterSeconds, "2"),
        (
            "retry-after",
            RetryAfterDate,
            "Tue, 01 Jan 2030 00:00:02 GMT",
        ),
        ("x-retry-after", XRetryAfter, "2"),
        ("x-rate-limit-time-reset-ms", RateLimitTimeResetMs, "1500"),
    ];
    let names = ["retry-after", "x-retry-after", "x-rate-limit-time-reset-ms"];
    let sandbox = demo_sandbox();
    let throttled = |signals| Fault::TooManyRequests {
        signals,
        wait: Duration::from_millis(1_500),
    };
    for (name, signal, value) in all {
        sandbox.fail_next(Operation::Mint, throttled(vec![signal]));
        let answer = Ask::mint().send(&sandbox).await;
        assert_eq!((answer.status.as_u16(), answer.header(name)), (429, value));
        let forms = names
            .iter()
            .filter(|name| answer.headers.contains_key(**name));
        assert_eq!(forms.count(), 1);
    }
    sandbox.fail_next(Operation::Mint, throttled(vec![]));
    let silent = Ask::mint().send(&sandbox).await;
    assert_eq!(silent.status, 429);
    assert!(names.iter().all(|name| !silent.headers.contains_key(*name)));
    assert!(!silent.headers.contains_key("x-request-window-resets-after"));
}

#[tokio::test]
async fn a_skewed_clock_shows_in_the_date_and_in_the_token_alone() {
    for (direction, date, shown) in [
        (Skew::Ahead, "Tue, 01 Jan 2030 00:05:00 GMT", NOW + 300),
        (Skew::Behind, "Mon, 31 Dec 2029 23:55:00 GMT", NOW - 300),
    ] {
        let sandbox = demo_sandbox();
        let by = Duration::from_secs(300);
        sandbox.fail_next(Operation::Mint, Fault::ClockSkew { by, direction });
        let answer = Ask::mint().send(&sandbox).await;
        assert_eq!(answer.header("date"), date);
        let claims = answer.claims(&sandbox, "/token/0");
        assert_eq!(claims["exp"], shown + 24 * 60 * 60);
        assert_eq!(answer.header("x-request-window-resets-after"), "60.0 s");
        let answer = Ask::mint().send(&sandbox).await;
        assert_eq!(answer.header("date"), "Tue, 01 Jan 2030 00:00:00 GMT");
    }
    let sandbox = demo_sandbox();
    let (by, direction) = (Duration::MAX, Skew::Ahead);
    sandbox.fail_next(Operation::Mint, Fault::ClockSkew { by, direction });
    assert_eq!(
        Ask::mint().send(&sandbox).await.status,
        200,
        "beyond all times"
    );
}

#[tokio::test]
async fn a_connection_that_is_closed_on_reuse_fails_the_request_after() {
    let sandbox = demo_sandbox();
    let answered = faulty_mint(&sandbox, Fault::CloseOnReuse).await;
    assert_eq!(
        (answered.status(), connection_fault(&answered)),
        (StatusCode::OK, None)
    );
    let closed = Ask::create().send_unread(&sandbox).await;
    assert_eq!(connection_fault(&closed), Some(ConnectionFault::Reset));
    assert_eq!(sandbox.server_tokens(demo::STORE_HASH).len(), 1);
    assert_eq!(
        sandbox.request_count(),
        1,
        "the second never reached the service"
    );
    assert_eq!(Ask::create().send(&sandbox).await.status, 200);
    assert_eq!(sandbox.faults_injected(), 1);
}

#[tokio::test]
async fn a_script_is_followed_in_its_order_and_by_its_operation_alone() {
    let sandbox = demo_sandbox();
    let server_error = |status: u16| Fault::ServerError {
        status: StatusCode::from_u16(status).unwrap(),
        moment: Moment::BeforeEffect,
    };
    sandbox.pass_next_times(Operation::Mint, 1);
    sandbox.fail_next_times(Operation::Mint, server_error(502), 3);
    sandbox.fail_next(Operation::Mint, server_error(507));
    sandbox.fail_next_times(Operation::Mint, server_error(500), 0);
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(Ask::mint().send(&sandbox).await.status.as_u16());
        assert_eq!(Ask::login().send(&sandbox).await.status, 200);
    }
    assert_eq!(statuses, [200, 502, 502, 502, 507, 200]);
    assert_eq!(
        sandbox.fault_counts(),
        BTreeMap::from([("server-error", 4)])
    );
}

#[tokio::test]
async fn a_reply_that_a_test_wrote_waits_until_a_request_is_taken() {
    let sandbox = demo_sandbox();
    sandbox.respond_next(Operation::Mint, CannedReply::new(StatusCode::IM_A_TEAPOT));
    let lost = |moment| Fault::ResetBeforeReply { moment };
    faulty_mint(&sandbox, lost(Moment::BeforeEffect)).await;
    faulty_mint(&sandbox, lost(Moment::AfterEffect)).await;
    assert_eq!(sandbox.requests()[1].status(), StatusCode::IM_A_TEAPOT);
    assert_eq!(Ask::mint().send(&sandbox).await.status, 200);
}

#[tokio::test]
async fn one_seed_gives_the_same_faults_again() {
    let run = async |seed| {
        let (builder, _) = standing_still();
        let sandbox = builder.faults(FaultPlan::mixed(seed, 0.4)).build();
        let mut met = Vec::new();
        for _ in 0..10 {
            for (operation, ask) in Ask::each(&sandbox) {
                if operation == Operation::DeleteServerToken {
                    // It would delete the token that the list needs.
                    continue;
                }
                let response = ask.send_unread(&sandbox).await;
                met.push(response.extensions().get::<Fault>().cloned());
            }
        }
        met
    };
    let first = run(7).await;
    assert_eq!(first, run(7).await);
    assert_ne!(first, run(8).await);
    let share = first.iter().flatten().count();
    assert!((10..30).contains(&share), "{share} of 50");
}

#[tokio::test]
async fn a_plan_can_be_changed_and_all_of_it_cleared() {
    let sandbox = demo_sandbox();
    sandbox.set_faults(FaultPlan::new(1).rate(Operation::Mint, 1.0, Fault::BadUtf8));
    let met = async |ask: Ask| {
        let response = ask.send_unread(&sandbox).await;
        response.extensions().get::<Fault>().map(Fault::name)
    };
    assert_eq!(met(Ask::mint()).await, Some("bad-utf8"));
    assert_eq!(met(Ask::login()).await, None);
    sandbox.set_faults(FaultPlan::new(1));
    assert_eq!(met(Ask::mint()).await, None);

    sandbox.begin_outage(Fault::RefuseConnection);
    sandbox.maintenance(demo::STORE_HASH, true);
    sandbox.fail_next(Operation::Mint, Fault::BadUtf8);
    assert_eq!(met(Ask::mint()).await, Some("refuse-connection"));
    sandbox.clear_faults();
    assert_eq!(met(Ask::mint()).await, None);
    assert_eq!(sandbox.faults_injected(), 2, "the counts stay");
}

#[tokio::test]
async fn an_outage_is_for_everybody_while_it_lasts() {
    let sandbox = demo_sandbox();
    let moment = Moment::BeforeEffect;
    sandbox.begin_outage(Fault::StallBeforeReply { moment });
    for (_, ask) in Ask::each(&sandbox) {
        let response = ask.send_unread(&sandbox).await;
        assert_eq!(connection_fault(&response), Some(ConnectionFault::Stall));
    }
    let elsewhere = Ask::new(axum::http::Method::GET, "/nowhere");
    let response = elsewhere.send_unread(&sandbox).await;
    assert_eq!(connection_fault(&response), Some(ConnectionFault::Stall));
    sandbox.end_outage();
    assert_eq!(Ask::mint().send(&sandbox).await.status, 200);
    assert_eq!(sandbox.faults_injected(), 7);
}

#[tokio::test]
async fn maintenance_is_a_matter_of_one_store() {
    let other = Store::new("other")
        .with_access_token("other-token")
        .customer(Customer::new(1, "a@other.example", "x"));
    let sandbox = standing_still().0.store(Store::demo()).store(other).build();
    sandbox.maintenance(demo::STORE_HASH, true);
    for ask in [
        Ask::mint(),
        Ask::login(),
        Ask::create(),
        Ask::list(&sandbox),
    ] {
        let answer = ask.send(&sandbox).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("retry-after")),
            (503, "120")
        );
        assert_eq!(answer.header("content-type"), "text/html; charset=UTF-8");
    }
    let theirs = Ask::mint()
        .header("x-store-hash", "other")
        .header("x-auth-token", "other-token")
        .field("customerId", 1);
    assert_eq!(theirs.send(&sandbox).await.status, 200);
    assert_eq!(
        sandbox.server_tokens(demo::STORE_HASH).len(),
        1,
        "nothing was created"
    );

    // A fault of the connection strikes the reply that there is.
    let response = faulty_mint(&sandbox, Fault::TruncatedBody).await;
    assert_eq!(response.status(), 503);
    assert!(to_bytes(response.into_body(), usize::MAX).await.is_err());

    sandbox.maintenance(demo::STORE_HASH, false);
    assert_eq!(Ask::mint().send(&sandbox).await.status, 200);
    let expected = BTreeMap::from([("maintenance", 4), ("truncated-body", 1)]);
    assert_eq!(sandbox.fault_counts(), expected);
}

//! Unknown routes, wrong methods, and bodies, headers and numbers that no sane client sends: an
//! answer each time, never a panic.

use axum::http::Method;
use bigcommerce_b2b_auth_sandbox::Operation;
use serde_json::{Map, json};

use crate::support::{Ask, demo_sandbox, standing_still};

#[tokio::test]
async fn an_unknown_route_is_not_found() {
    let sandbox = demo_sandbox();
    for path in [
        "/",
        "/api/v3/io/auth/customers",
        "/api/io//auth/customers",
        "//api/io/auth/customers",
        "/api/io/auth/customers/",
        "/api/io/auth/%63ustomers",
    ] {
        let answer = Ask::new(Method::POST, path)
            .current_pair()
            .json(json!({}))
            .send(&sandbox)
            .await;
        assert_eq!(
            (answer.status.as_u16(), answer.json()),
            (404, json!({ "code": 404, "message": "Not Found" }))
        );
        assert_eq!(answer.header("x-request-id").len(), 32);
        assert_eq!(
            sandbox.requests().last().unwrap().operation(),
            None,
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_method_that_a_path_does_not_take_is_not_allowed() {
    let sandbox = demo_sandbox();
    for (method, operation, allow) in [
        (Method::GET, Operation::Mint, "POST"),
        (Method::HEAD, Operation::Exchange, "GET"),
        (Method::PUT, Operation::CreateServerToken, "POST, DELETE"),
        (Method::POST, Operation::ListServerTokens, "GET"),
    ] {
        let answer = Ask::new(method, operation.path()).send(&sandbox).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("allow")),
            (405, allow)
        );
    }
}

#[tokio::test]
async fn a_body_has_to_say_that_it_is_json_and_be_it() {
    let sandbox = demo_sandbox();
    for operation in Operation::ALL
        .into_iter()
        .filter(|operation| operation.method() != Method::GET)
    {
        let ask = Ask::to(operation);
        let ask = match operation {
            Operation::Mint => ask.current_pair(),
            Operation::DeleteServerToken => ask.legacy(&sandbox),
            _ => ask,
        };
        assert_eq!(ask.clone().body("{}").send(&sandbox).await.status, 415);
        let xml = ask
            .clone()
            .header("content-type", "application/xml")
            .body("<a/>");
        assert_eq!(xml.send(&sandbox).await.status, 415);
        for body in ["", "{", "[]", "null", "\"text\"", "{\"id\": 1e999}", "{}{}"] {
            let answer = ask
                .clone()
                .header("content-type", "application/json; charset=utf-8")
                .body(body);
            assert_eq!(
                answer.send(&sandbox).await.status,
                400,
                "{operation:?} {body}"
            );
        }
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let sandbox = standing_still().0.body_limit(100).build();
    let answer = Ask::mint()
        .field("padding", "x".repeat(100))
        .send(&sandbox)
        .await;
    assert_eq!(
        (answer.status.as_u16(), answer.json()["code"].clone()),
        (413, json!(413))
    );
    assert!(sandbox.requests()[0].body().is_empty());
    assert_eq!(Ask::mint().send(&sandbox).await.status, 200);
    let by_default = demo_sandbox();
    let megabyte = Ask::mint().field("padding", "x".repeat(1024 * 1024));
    assert_eq!(megabyte.send(&by_default).await.status, 413);
}

/// A generator of arbitrary numbers (SplitMix64): the same ones each time, so that a failure can be
/// repeated.
struct Arbitrary(u64);

impl Arbitrary {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.next()).unwrap() % from.len()].clone()
    }

    fn bytes(&mut self) -> Vec<u8> {
        let length = self.next() % 64;
        (0..length).map(|_| self.next().to_le_bytes()[0]).collect()
    }
}

#[tokio::test]
async fn garbage_is_answered() {
    let mut arbitrary = Arbitrary(1);
    let values = [
        json!(null),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(1e308),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(""),
        json!("\u{0}\u{fffd}é"),
        json!("18446744073709551616"),
        json!([]),
        json!({}),
        json!({ "value": {}, "expires_at": [], "expiresAt": 5 }),
        json!(true),
    ];
    let fields = [
        "customerId",
        "channelId",
        "customerAccessToken",
        "storeHash",
        "email",
        "name",
        "beginAt",
        "endAt",
        "id",
    ];
    let headers = [
        "authtoken",
        "x-auth-token",
        "x-store-hash",
        "content-type",
        "x-else",
    ];
    for round in 0..3_000 {
        let sandbox = demo_sandbox();
        let (operation, ask) = arbitrary.pick(&Ask::each(&sandbox));
        let ask = match round % 4 {
            0 => ask
                .header("content-type", "application/json")
                .body(arbitrary.bytes()),
            1 => {
                let encode = |byte| format!("%{byte:02x}&limit=%{byte:02x}");
                ask.query(
                    &arbitrary
                        .bytes()
                        .into_iter()
                        .map(encode)
                        .collect::<String>(),
                )
            }
            2 => {
                let mut value = arbitrary.bytes();
                value.retain(|byte| *byte >= b' ' && *byte != 0x7f);
                ask.header_bytes(arbitrary.pick(&headers), &value)
            }
            _ => {
                let mut field = || {
                    (
                        (*arbitrary.pick(&fields)).to_owned(),
                        arbitrary.pick(&values).clone(),
                    )
                };
                ask.json((0..4).map(|_| field()).collect::<Map<_, _>>().into())
            }
        };
        let answer = ask.send(&sandbox).await;
        assert_eq!(
            answer.header("x-request-id").len(),
            32,
            "round {round}: {answer:?}"
        );
        let recorded = sandbox.requests_to(operation);
        assert_eq!(recorded.len(), 1);
        assert!(!format!("{recorded:?}").is_empty());
    }
}

#[tokio::test]
async fn deep_nesting_and_long_values_are_answered() {
    let sandbox = demo_sandbox();
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(Ask::mint().body(deep).send(&sandbox).await.status, 400);
    let long = "9".repeat(100_000);
    assert_eq!(
        Ask::mint()
            .body(format!("{{\"customerId\":{long}}}"))
            .send(&sandbox)
            .await
            .status,
        400
    );
    assert_eq!(
        Ask::list(&sandbox)
            .query(&format!("limit={}", &long[..60_000]))
            .send(&sandbox)
            .await
            .status,
        400
    );
    let jwt = format!("{long}.{long}.{long}");
    assert_eq!(
        Ask::exchange(&jwt[..60_000]).send(&sandbox).await.status,
        401
    );
}

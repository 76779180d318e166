//! Requests as a careful client would send them, and the replies taken apart.
//! A test changes the one thing that it is about.

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use bigcommerce_b2b_auth_sandbox::{ManualClock, Operation, Sandbox, SandboxBuilder, demo};
use serde_json::{Value, json};
use tower::ServiceExt as _;

/// The moment at which the clock of every test stands: 2030-01-01T00:00:00Z.
pub(crate) const NOW: u64 = 1_893_456_000;

/// A builder whose clock stands at [`NOW`] until the test moves it.
pub(crate) fn standing_still() -> (SandboxBuilder, ManualClock) {
    let clock = ManualClock::at_unix(NOW);
    (Sandbox::builder().clock(clock.clone()), clock)
}

/// The demo store, at [`NOW`].
pub(crate) fn demo_sandbox() -> Sandbox {
    standing_still().0.build()
}

/// A request on its way to a sandbox.
#[derive(Clone)]
pub(crate) struct Ask {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Ask {
    pub(crate) fn new(method: Method, path: &str) -> Self {
        Self {
            method,
            path: path.to_owned(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }

    pub(crate) fn to(operation: Operation) -> Self {
        Self::new(operation.method(), operation.path())
    }

    /// A mint for the demo customer.
    pub(crate) fn mint() -> Self {
        Self::to(Operation::Mint)
            .current_pair()
            .json(json!({ "customerId": demo::CUSTOMER_ID }))
    }

    /// A login of the demo customer.
    pub(crate) fn login() -> Self {
        Self::to(Operation::Login).json(json!({
            "storeHash": demo::STORE_HASH,
            "email": demo::CUSTOMER_EMAIL,
            "password": demo::CUSTOMER_PASSWORD,
            "channelId": demo::CHANNEL_ID,
            "name": "a login",
        }))
    }

    /// An exchange of this JWT.
    pub(crate) fn exchange(jwt: &str) -> Self {
        Self::to(Operation::Exchange)
            .header("x-store-hash", demo::STORE_HASH)
            .query(&format!("jwtToken={jwt}"))
    }

    /// A creation by the demo administrator.
    pub(crate) fn create() -> Self {
        Self::to(Operation::CreateServerToken).json(json!({
            "storeHash": demo::STORE_HASH,
            "email": demo::ADMINISTRATOR_EMAIL,
            "password": demo::ADMINISTRATOR_PASSWORD,
            "name": "a server token",
        }))
    }

    /// A deletion with the token that the demo store has from the start.
    pub(crate) fn delete(sandbox: &Sandbox, id: u64) -> Self {
        Self::to(Operation::DeleteServerToken)
            .legacy(sandbox)
            .json(json!({ "id": id }))
    }

    /// A list with the token that the demo store has from the start.
    pub(crate) fn list(sandbox: &Sandbox) -> Self {
        Self::to(Operation::ListServerTokens).legacy(sandbox)
    }

    /// A request to each operation that succeeds with the demo store.
    pub(crate) fn each(sandbox: &Sandbox) -> Vec<(Operation, Self)> {
        let session = sandbox
            .session_jwt(demo::STORE_HASH, demo::CUSTOMER_ID)
            .unwrap();
        let first = sandbox.server_tokens(demo::STORE_HASH)[0].id();
        // The deletion comes last, since it ends the token that the list needs.
        let asks = vec![
            (Operation::Mint, Self::mint()),
            (Operation::Login, Self::login()),
            (Operation::Exchange, Self::exchange(&session)),
            (Operation::CreateServerToken, Self::create()),
            (Operation::ListServerTokens, Self::list(sandbox)),
            (Operation::DeleteServerToken, Self::delete(sandbox, first)),
        ];
        for operation in Operation::ALL {
            assert!(
                asks.iter().any(|(asked, _)| *asked == operation),
                "{operation:?} has no request here"
            );
        }
        asks
    }

    pub(crate) fn current_pair(self) -> Self {
        self.header("x-store-hash", demo::STORE_HASH)
            .header("x-auth-token", demo::ACCESS_TOKEN)
    }

    pub(crate) fn legacy(self, sandbox: &Sandbox) -> Self {
        let token = sandbox.auth_token(demo::STORE_HASH).unwrap();
        self.header("authtoken", &token)
    }

    pub(crate) fn header(self, name: &str, value: &str) -> Self {
        self.header_bytes(name, value.as_bytes())
    }

    pub(crate) fn header_bytes(mut self, name: &str, value: &[u8]) -> Self {
        let name: HeaderName = name.parse().unwrap();
        self.headers
            .insert(name, HeaderValue::from_bytes(value).unwrap());
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.remove(name);
        self
    }

    pub(crate) fn query(mut self, query: &str) -> Self {
        let separator = if self.path.contains('?') { '&' } else { '?' };
        self.path = format!("{}{separator}{query}", self.path);
        self
    }

    pub(crate) fn json(self, body: Value) -> Self {
        self.header("content-type", "application/json")
            .body(body.to_string())
    }

    /// Changes one field of the JSON body; `null` takes it out.
    pub(crate) fn field(self, name: &str, value: impl Into<Value>) -> Self {
        let mut body: Value = serde_json::from_slice(&self.body).unwrap();
        match value.into() {
            Value::Null => drop(body.as_object_mut().unwrap().remove(name)),
            value => body[name] = value,
        }
        self.json(body)
    }

    pub(crate) fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Sends it over a socket.
    pub(crate) async fn send_to(
        &self,
        base_url: &str,
        client: &reqwest::Client,
    ) -> reqwest::Result<reqwest::Response> {
        client
            .request(self.method.clone(), format!("{base_url}{}", self.path))
            .headers(self.headers.clone())
            .body(self.body.clone())
            .send()
            .await
    }

    /// The bytes of it, as one connection after another would carry them.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes =
            format!("{} {} HTTP/1.1\r\nhost: x\r\n", self.method, self.path).into_bytes();
        for (name, value) in &self.headers {
            bytes.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
        }
        bytes.extend(format!("content-length: {}\r\n\r\n", self.body.len()).into_bytes());
        bytes.extend(&self.body);
        bytes
    }

    /// Sends it in-process.
    pub(crate) async fn send(&self, sandbox: &Sandbox) -> Answer {
        let (parts, body) = self.send_unread(sandbox).await.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    }

    /// Sends it in-process, and leaves the body of the reply to the caller.
    pub(crate) async fn send_unread(&self, sandbox: &Sandbox) -> Response<Body> {
        let mut request = Request::new(Body::from(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.path.parse().unwrap();
        *request.headers_mut() = self.headers.clone();
        sandbox.service().oneshot(request).await.unwrap()
    }
}

/// A reply, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The `data` of a success.
    pub(crate) fn data(&self) -> Value {
        let body = self.json();
        assert_eq!(
            (self.status, &body["code"]),
            (StatusCode::OK, &json!(200)),
            "{body}"
        );
        assert_eq!(body["meta"]["message"], "SUCCESS");
        body["data"].clone()
    }

    /// The claims of the token at a place in `data`, which must verify.
    pub(crate) fn claims(&self, sandbox: &Sandbox, pointer: &str) -> Value {
        let data = self.data();
        let token = data
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_else(|| panic!("{data}"));
        sandbox.verify(token).unwrap()
    }

    /// Asserts an error in the documented envelope.
    pub(crate) fn assert_error(&self, status: u16, message: &str, meta: &str) {
        let expected =
            json!({ "code": status, "data": { "errMsg": message }, "meta": { "message": meta } });
        assert_eq!((self.status.as_u16(), self.json()), (status, expected));
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

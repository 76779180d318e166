//! What those who watch get to see: the spans of a call and of its attempts with their fields, and the events of the hook.
//! In the *time* harness, where every wait is exact.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot go on ends with a panic"
)]

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    sync::{Arc, Mutex},
    time::Duration,
};

use bigcommerce_b2b_auth::{
    AllowedOrigins, BudgetLimit, CallOptions, Client, CustomerId, RetryPolicy, StoreAccess,
    StorefrontTokens, TokenLayer, TokenRequest,
    telemetry::{AttemptEvent, CallEvent, CallOutcome, Observer, PermitWaitEvent, RetryEvent},
};
use bigcommerce_b2b_auth_sandbox::{Fault, Moment, Operation, RetrySignal, Sandbox, demo};
use http::StatusCode;
use tests::{InProcess, LongestWait, PausedClock};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    span,
};
use tracing_subscriber::{
    layer::{Context, Layer, SubscriberExt as _},
    registry::LookupSpan,
};

/// The fields of a span, in the order of their names.
#[derive(Debug, Default, Clone)]
struct Fields(BTreeMap<&'static str, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }
}

/// Writes spans down as they close, children before their parents, and events as they come.
#[derive(Debug, Clone, Default)]
struct Notes(Arc<Mutex<String>>);

impl Notes {
    fn take(&self) -> String {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    fn write(&self, depth: usize, name: &str, fields: &Fields) {
        let mut text = self.0.lock().unwrap();
        let _ = writeln!(text, "{}{name}", "  ".repeat(depth));
        for (field, value) in &fields.0 {
            let value = if *field == "b2b.request_id" {
                "…"
            } else {
                value
            };
            let _ = writeln!(text, "{}  {field}: {value}", "  ".repeat(depth));
        }
    }
}

impl<S: Subscriber + for<'s> LookupSpan<'s>> Layer<S> for Notes {
    fn on_new_span(
        &self,
        attributes: &span::Attributes<'_>,
        id: &span::Id,
        context: Context<'_, S>,
    ) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        context.span(id).unwrap().extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, context: Context<'_, S>) {
        let span = context.span(id).unwrap();
        values.record(span.extensions_mut().get_mut::<Fields>().unwrap());
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if event
            .metadata()
            .target()
            .starts_with("bigcommerce_b2b_auth")
        {
            let mut fields = Fields::default();
            event.record(&mut fields);
            let depth = context.event_scope(event).map_or(0, |scope| scope.count());
            self.write(depth, "event", &fields);
        }
    }

    fn on_close(&self, id: span::Id, context: Context<'_, S>) {
        let span = context.span(&id).unwrap();
        if span.metadata().target().starts_with("bigcommerce_b2b_auth") {
            let fields = span.extensions().get::<Fields>().unwrap().clone();
            self.write(span.scope().skip(1).count(), span.name(), &fields);
        }
    }
}

/// Counts and keeps what the hook is told, as a line each.
#[derive(Debug, Default)]
struct Lines(Mutex<Vec<String>>);

impl Lines {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    fn add(&self, line: String) {
        self.0.lock().unwrap().push(line);
    }
}

impl Observer for Lines {
    fn on_permit_wait(&self, event: &PermitWaitEvent<'_>) {
        self.add(format!(
            "permit after {:?}: {}",
            event.waited, event.granted
        ));
    }

    fn on_attempt(&self, event: &AttemptEvent<'_>) {
        self.add(format!(
            "attempt {} of {}: {:?} {:?} in {:?}, {:?} left",
            event.attempt,
            event.operation.id,
            event.status,
            event.failed,
            event.latency,
            event.budget.remaining
        ));
    }

    fn on_retry(&self, event: &RetryEvent<'_>) {
        self.add(format!(
            "again in {:?} after {}: {:?}",
            event.wait, event.attempt, event.cause
        ));
    }

    fn on_call(&self, event: &CallEvent<'_>) {
        self.add(format!(
            "call of {:?} after {} in {:?}: {:?}",
            event.store_hash, event.attempts, event.latency, event.outcome
        ));
    }
}

struct Setting {
    sandbox: Sandbox,
    client: Client,
    lines: Arc<Lines>,
}

impl Setting {
    fn new(record_customer_id: bool, limit: BudgetLimit) -> Self {
        let clock = PausedClock::start();
        let sandbox = Sandbox::builder()
            .seed(1)
            .clock(move || clock.wall())
            .build();
        let lines = Arc::new(Lines::default());
        let client = Client::builder()
            .credentials(StoreAccess::new(demo::STORE_HASH, demo::ACCESS_TOKEN).unwrap())
            .base_url("https://b2b.example.com")
            .transport(InProcess::new(&sandbox))
            .clock(Arc::new(clock))
            .jitter(Arc::new(LongestWait))
            .budget_limit(limit)
            .observer(Arc::clone(&lines) as Arc<dyn Observer>)
            .record_customer_id(record_customer_id)
            .build()
            .unwrap();
        Self {
            sandbox,
            client,
            lines,
        }
    }

    async fn mint(&self, options: CallOptions) {
        let customer = CustomerId::new(demo::CUSTOMER_ID).unwrap();
        let mint = self.client.mint_storefront_token(customer);
        let _ = mint.options(options).send().await;
    }
}

const UNAVAILABLE: Fault = Fault::EmptyError {
    status: StatusCode::SERVICE_UNAVAILABLE,
    moment: Moment::BeforeEffect,
};

// One test for all: which spans are on is known to the process, and threads with and without a subscriber race for it.
#[tokio::test(start_paused = true)]
async fn spans_and_events() {
    the_spans_of_calls().await;
    the_spans_of_calls_of_the_storefronts_apis().await;
    the_events_of_calls().await;
}

async fn the_spans_of_calls() {
    let notes = Notes::default();
    let subscriber = tracing_subscriber::registry().with(notes.clone());
    let _guard = tracing::subscriber::set_default(subscriber);

    let setting = Setting::new(false, BudgetLimit::default());
    setting.sandbox.fail_next(Operation::Mint, UNAVAILABLE);
    setting.mint(CallOptions::default()).await;
    insta::assert_snapshot!("a_call_that_is_repeated", notes.take());

    let setting = Setting::new(true, BudgetLimit::default());
    setting
        .sandbox
        .fail_next(Operation::Mint, Fault::RefuseConnection);
    let once = CallOptions::builder().retry(RetryPolicy::none()).build();
    setting.mint(once).await;
    insta::assert_snapshot!("a_call_that_fails_and_names_its_customer", notes.take());
}

async fn the_spans_of_calls_of_the_storefronts_apis() {
    let notes = Notes::default();
    let subscriber = tracing_subscriber::registry().with(notes.clone());
    let _guard = tracing::subscriber::set_default(subscriber);

    let setting = Setting::new(true, BudgetLimit::default());
    let tokens = StorefrontTokens::builder().client(setting.client).build();
    let customer = CustomerId::new(demo::CUSTOMER_ID).unwrap();
    tokens.get(customer).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    notes.take();
    let old = tokens.get(customer).await.unwrap();
    let old = old.authorization().clone();
    let service = TokenLayer::new(tokens, AllowedOrigins::bigcommerce()).layer(service_fn(
        move |request: http::Request<String>| {
            let is_old = request.headers()["authorization"] == old;
            async move {
                let mut response = http::Response::new(String::new());
                *response.status_mut() = match (is_old, request.uri().path()) {
                    (true, _) => StatusCode::UNAUTHORIZED,
                    (false, "/graphql") => StatusCode::OK,
                    (false, _) => StatusCode::NOT_FOUND,
                };
                let id = http::HeaderValue::from_static("request-7");
                response.headers_mut().insert("x-request-id", id);
                Ok::<_, std::convert::Infallible>(response)
            }
        },
    ));
    let send = |uri: &str| {
        let request = http::Request::post(uri)
            .extension(TokenRequest::new(customer))
            .body(String::new())
            .unwrap();
        service.clone().oneshot(request)
    };
    send("https://api-b2b.bigcommerce.com/graphql?secret")
        .await
        .unwrap();
    insta::assert_snapshot!("a_graphql_call_whose_token_is_replaced", notes.take());
    send("https://api-b2b.bigcommerce.com/reset/a-secret?and=another")
        .await
        .unwrap();
    insta::assert_snapshot!("a_rest_call_that_fails", notes.take());
}

async fn the_events_of_calls() {
    let setting = Setting::new(false, BudgetLimit::at_most(60, Duration::from_secs(60), 1));
    setting.mint(CallOptions::default()).await;
    let attempt =
        "attempt 1 of post-auth-customers-storefront: Some(200) None in 0ns, Some(149) left";
    let ended = |attempts, time, outcome: CallOutcome| {
        format!(
            "call of Some({:?}) after {attempts} in {time}: {outcome:?}",
            demo::STORE_HASH
        )
    };
    assert_eq!(
        setting.lines.take(),
        [attempt.to_owned(), ended(1, "0ns", CallOutcome::Succeeded)]
    );

    // The turn comes after a second, and the service says to wait for three more.
    let throttled = Fault::TooManyRequests {
        signals: vec![RetrySignal::RetryAfterSeconds],
        wait: Duration::from_secs(3),
    };
    setting.sandbox.fail_next(Operation::Mint, throttled);
    setting.mint(CallOptions::default()).await;
    assert_eq!(
        setting.lines.take(),
        [
            "permit after 1s: true",
            "attempt 1 of post-auth-customers-storefront: Some(429) Some(RateLimited) in 0ns, None left",
            "again in 3s after 1: Throttled",
            "attempt 2 of post-auth-customers-storefront: Some(200) None in 0ns, Some(148) left",
            &ended(2, "4s", CallOutcome::Succeeded),
        ]
    );

    // A call that cannot wait for its turn, and one that is dropped while it does.
    let hurried = CallOptions::builder()
        .deadline(Duration::from_millis(10))
        .build();
    setting.mint(hurried).await;
    let lines = setting.lines.take();
    assert_eq!(lines[0], "permit after 0ns: false");
    assert!(
        lines[1].ends_with("after 0 in 0ns: Failed(RateLimited)"),
        "{lines:?}"
    );
    let dropped = tokio::time::timeout(
        Duration::from_millis(10),
        setting.mint(CallOptions::default()),
    );
    assert!(dropped.await.is_err());
    assert_eq!(
        setting.lines.take(),
        [ended(0, "10ms", CallOutcome::Dropped)]
    );
}

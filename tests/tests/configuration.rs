//! What a builder refuses, and in which words.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on ends with a panic"
)]

use bigcommerce_b2b_auth::{
    Client, CustomerId, Environment, Error, ErrorKind, LegacyAuthToken, ServerTokenId, StoreAccess,
    StoreHash,
};

fn build(base_url: &str, suffix: &str) -> Result<Client, Error> {
    Client::builder()
        .credentials(StoreAccess::new("abc123", "token").unwrap())
        .base_url(base_url)
        .user_agent_suffix(suffix)
        .build()
}

#[test]
fn every_refusal_says_what_is_wrong_and_what_to_do() {
    let environment = Environment::from_lookup(|name| {
        matches!(name, "BIGCOMMERCE_ACCESS_TOKEN" | "B2B_API_TOKEN").then(|| "hunter2".to_owned())
    });
    let https = "https://b2b.example.com";
    let refusals = [
        build("b2b.example.com", "").unwrap_err(),
        build("http://b2b.example.com", "").unwrap_err(),
        build("https://ada:hunter2@b2b.example.com", "").unwrap_err(),
        build("https://b2b.example.com?hunter2", "").unwrap_err(),
        build("file:///etc", "").unwrap_err(),
        build(https, "a\r\nb").unwrap_err(),
        StoreAccess::new("", "token").unwrap_err(),
        StoreAccess::new("abc 123", "token").unwrap_err(),
        StoreAccess::new("abc123", "").unwrap_err(),
        StoreAccess::new("abc123", "hunter2\r\nX-Evil: 1").unwrap_err(),
        StoreHash::new("caf\u{e9}").unwrap_err(),
        LegacyAuthToken::new("hunter2\n").unwrap_err(),
        Client::<StoreAccess>::from_environment(&environment).unwrap_err(),
        Client::<LegacyAuthToken>::from_environment(&environment).unwrap_err(),
        Client::<StoreHash>::from_environment(&environment).unwrap_err(),
    ];
    for error in &refusals {
        assert!(matches!(
            error.kind(),
            ErrorKind::Configuration | ErrorKind::InvalidInput
        ));
    }
    let text = refusals.map(|error| error.to_string()).join("\n");
    assert!(!text.contains("hunter2"), "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn a_trailing_slash_and_plain_http_on_loopback_are_fine() {
    for base_url in [
        "https://b2b.example.com/",
        "https://b2b.example.com/api/io/",
        "http://127.0.0.1:8080/",
        "http://[::1]:8080",
    ] {
        assert!(build(base_url, "").is_ok(), "{base_url}");
    }
}

#[test]
fn the_environment_makes_a_client() {
    let environment = Environment::from_lookup(|name| {
        Some(
            match name {
                "BIGCOMMERCE_STORE_HASH" => "abc123",
                "BIGCOMMERCE_ACCESS_TOKEN" => "token",
                "BIGCOMMERCE_CHANNEL_ID" => "7",
                "B2B_API_HOST" => "http://127.0.0.1:1",
                _ => return None,
            }
            .to_owned(),
        )
    });
    assert_eq!(environment.base_url().unwrap(), Some("http://127.0.0.1:1"));
    assert_eq!(environment.channel().unwrap().map(|id| id.get()), Some(7));
    let client = Client::<StoreAccess>::from_environment(&environment).unwrap();
    assert_eq!(client.store_hash().as_str(), "abc123");
    let shown = format!("{client:?}");
    assert!(shown.contains("http://127.0.0.1:1/api/io"), "{shown}");
    assert!(shown.contains("ChannelId(7)"), "{shown}");
}

#[test]
#[expect(deprecated, reason = "deprecated calls can be spawned as well")]
fn every_call_can_be_spawned() {
    fn spawnable<T: Send + 'static>(_: impl FnOnce() -> T) {}

    let access = Client::new("abc123", "token").unwrap();
    let legacy = access.with_legacy_auth_token(LegacyAuthToken::new("legacy").unwrap());
    let (a, b, c, d) = (access.clone(), access.clone(), access.clone(), access);
    let (e, f, g) = (legacy.clone(), legacy.clone(), legacy);
    let id = CustomerId::new(1).unwrap();
    spawnable(move || async move { a.mint_storefront_token(id).send().await });
    spawnable(move || async move {
        b.log_in_storefront_user()
            .email("e")
            .password("p")
            .name("n")
            .send()
            .await
    });
    spawnable(move || async move { c.exchange_session_jwt("jwt").send().await });
    spawnable(move || async move {
        d.create_server_token()
            .email("e")
            .password("p")
            .name("n")
            .send()
            .await
    });
    let id = ServerTokenId::new(1).unwrap();
    spawnable(move || async move { e.delete_server_token(id).send().await });
    spawnable(move || async move { f.list_server_tokens().send().await });
    spawnable(move || g.all_server_tokens().stream());
}

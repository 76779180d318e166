//! Creating, listing and deleting legacy server tokens, and the errors that are documented for
//! them.

use bigcommerce_b2b_auth_sandbox::{EventChannel, demo};
use serde_json::{Value, json};

use crate::support::{Ask, demo_sandbox};

const BAD_LOGIN: &str = "The email or password you have entered is incorrect. Please try again.";

#[tokio::test]
async fn a_creation_gives_a_list_with_a_token_that_never_expires() {
    let sandbox = demo_sandbox();
    let answer = Ask::create().send(&sandbox).await;
    assert_eq!(answer.data()[0]["name"], "a server token");
    assert_eq!(
        answer.claims(&sandbox, "/0/token"),
        json!({ "email": demo::ADMINISTRATOR_EMAIL, "store_hash": demo::STORE_HASH, "db": "default" }),
    );
    let created = sandbox.server_tokens(demo::STORE_HASH).pop().unwrap();
    assert_eq!(
        (created.name(), created.event_channel()),
        ("a server token", EventChannel::Api)
    );
    assert_eq!(created.email(), demo::ADMINISTRATOR_EMAIL);
}

#[tokio::test]
async fn a_created_token_lets_its_owner_in() {
    let sandbox = demo_sandbox();
    let created = Ask::create().send(&sandbox).await.data()[0]["token"]
        .as_str()
        .unwrap()
        .to_owned();
    let listed = Ask::list(&sandbox)
        .header("authtoken", &created)
        .send(&sandbox)
        .await
        .data();
    assert_eq!(listed.as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn only_the_pre_built_roles_may_create() {
    let sandbox = demo_sandbox();
    let by = |email: &str, password: &str| {
        Ask::create()
            .field("email", email)
            .field("password", password)
    };
    by(demo::STORE_OWNER_EMAIL, demo::STORE_OWNER_PASSWORD)
        .send(&sandbox)
        .await
        .data();
    let answer = by(demo::CUSTOM_ROLE_EMAIL, demo::CUSTOM_ROLE_PASSWORD)
        .send(&sandbox)
        .await;
    answer.assert_error(400, "role forbidden", "API logic error");
    // A wrong password must not tell the role.
    let answer = by(demo::CUSTOM_ROLE_EMAIL, "wrong").send(&sandbox).await;
    answer.assert_error(400, BAD_LOGIN, "API logic error");
    assert_eq!(sandbox.server_tokens(demo::STORE_HASH).len(), 2);
}

#[tokio::test]
async fn a_creation_with_a_bad_login_is_refused() {
    let sandbox = demo_sandbox();
    for (field, value) in [
        ("password", "wrong"),
        ("email", demo::CUSTOMER_EMAIL),
        ("storeHash", "unknown"),
    ] {
        let answer = Ask::create().field(field, value).send(&sandbox).await;
        answer.assert_error(400, BAD_LOGIN, "API logic error");
    }
}

#[tokio::test]
async fn a_creation_reads_its_fields() {
    let sandbox = demo_sandbox();
    for field in ["storeHash", "email", "password", "name"] {
        let answer = Ask::create().field(field, json!(null)).send(&sandbox).await;
        assert_eq!(
            (answer.status.as_u16(), answer.json()["data"].clone()),
            (400, json!({ field: ["is required"] }))
        );
    }
    let extras = Ask::create()
        .field("channelId", "1")
        .field("beginAt", 1)
        .field("endAt", 2);
    extras.send(&sandbox).await.data();
    assert_eq!(extras.field("endAt", "2").send(&sandbox).await.status, 400);
}

#[tokio::test]
async fn a_deletion_takes_the_id_and_whatever_else_it_is_told() {
    let sandbox = demo_sandbox();
    Ask::create().send(&sandbox).await.data();
    let id = sandbox.server_tokens(demo::STORE_HASH)[1].id();
    let delete = Ask::delete(&sandbox, id);
    for (field, value) in [
        ("id", json!(999)),
        ("name", json!("another")),
        ("email", json!("nobody@demo.example")),
    ] {
        let answer = delete.clone().field(field, value).send(&sandbox).await;
        answer.assert_error(404, "No matching token was found.", "Not Found Error");
    }
    let exact = delete
        .field("name", "a server token")
        .field("email", demo::ADMINISTRATOR_EMAIL);
    assert_eq!(exact.send(&sandbox).await.data(), json!([]));
    exact
        .send(&sandbox)
        .await
        .assert_error(404, "No matching token was found.", "Not Found Error");
    assert_eq!(sandbox.server_tokens(demo::STORE_HASH).len(), 1);
}

#[tokio::test]
async fn a_deletion_needs_an_integer_id() {
    let sandbox = demo_sandbox();
    for id in [json!(null), json!("1"), json!(1.5), json!(-1), json!([])] {
        let answer = Ask::delete(&sandbox, 1)
            .field("id", id.clone())
            .send(&sandbox)
            .await;
        assert_eq!(answer.status, 400, "{id}");
    }
}

#[tokio::test]
async fn a_token_may_delete_itself_and_is_gone_then() {
    let sandbox = demo_sandbox();
    let list = Ask::list(&sandbox);
    Ask::delete(&sandbox, sandbox.server_tokens(demo::STORE_HASH)[0].id())
        .send(&sandbox)
        .await
        .data();
    assert_eq!(list.send(&sandbox).await.status, 401);
    assert_eq!(sandbox.auth_token(demo::STORE_HASH), None);
}

#[tokio::test]
async fn tokens_with_the_same_bytes_are_two_entries() {
    let sandbox = demo_sandbox();
    let first = Ask::create().send(&sandbox).await.data()[0]["token"]
        .as_str()
        .unwrap()
        .to_owned();
    let second = Ask::create().send(&sandbox).await.data()[0]["token"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(first, second, "the known claims hold nothing that differs");
    let ids: Vec<_> = sandbox
        .server_tokens(demo::STORE_HASH)
        .iter()
        .map(|token| token.id())
        .collect();
    Ask::delete(&sandbox, ids[1]).send(&sandbox).await.data();
    Ask::list(&sandbox)
        .header("authtoken", &second)
        .send(&sandbox)
        .await
        .data();
    Ask::delete(&sandbox, ids[2]).send(&sandbox).await.data();
    assert_eq!(
        Ask::list(&sandbox)
            .header("authtoken", &second)
            .send(&sandbox)
            .await
            .status,
        401
    );
}

#[tokio::test]
async fn a_list_shows_whole_entries() {
    let sandbox = demo_sandbox();
    let answer = Ask::list(&sandbox).send(&sandbox).await;
    let token = sandbox.auth_token(demo::STORE_HASH).unwrap();
    assert_eq!(
        answer.json(),
        json!({
            "code": 200,
            "data": [{
                "id": 1,
                "name": demo::SERVER_TOKEN_NAME,
                "email": demo::ADMINISTRATOR_EMAIL,
                "storeHash": demo::STORE_HASH,
                "token": token,
                "eventChannel": "app",
            }],
            "meta": { "message": "SUCCESS", "pagination": { "totalCount": 1, "limit": 10, "offset": 0 } },
        }),
    );
    assert_eq!(
        sandbox.verify(&token).unwrap(),
        json!({
            "email": demo::ADMINISTRATOR_EMAIL,
            "store_hash": demo::STORE_HASH,
            "db": "default",
            "name": demo::SERVER_TOKEN_NAME,
            "event_channel": "app",
            "token_version": 1,
        }),
    );
}

#[tokio::test]
async fn a_list_goes_by_pages() {
    let sandbox = demo_sandbox();
    for number in 2..=23 {
        Ask::create()
            .field("name", format!("token {number}"))
            .send(&sandbox)
            .await
            .data();
    }
    for (query, ids) in [
        ("", 1..11),
        ("limit=5", 1..6),
        ("limit=5&offset=20", 21..24),
        ("offset=10", 11..21),
        ("limit=250", 1..24),
        ("offset=23", 24..24),
        ("offset=18446744073709551615", 24..24),
    ] {
        let answer = Ask::list(&sandbox).query(query).send(&sandbox).await;
        let page: Vec<_> = answer
            .data()
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["id"].as_u64().unwrap())
            .collect();
        assert_eq!(page, ids.collect::<Vec<_>>(), "{query}");
        assert_eq!(answer.json()["meta"]["pagination"]["totalCount"], 23);
    }
    let answer = Ask::list(&sandbox)
        .query("limit=5&offset=20")
        .send(&sandbox)
        .await;
    assert_eq!(
        answer.json()["meta"]["pagination"],
        json!({ "totalCount": 23, "limit": 5, "offset": 20 })
    );
}

#[tokio::test]
async fn a_page_out_of_range_is_refused() {
    let sandbox = demo_sandbox();
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=251", "limit"),
        ("limit=ten", "limit"),
        ("limit=", "limit"),
        ("offset=-1", "offset"),
        ("offset=18446744073709551616", "offset"),
    ] {
        let answer = Ask::list(&sandbox).query(query).send(&sandbox).await;
        assert_eq!(answer.status, 400, "{query}");
        assert!(
            answer.json()["data"]
                .get(field)
                .is_some_and(Value::is_array),
            "{query}"
        );
    }
}

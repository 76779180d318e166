//! Revisions that nobody has seen: the six operations in our own words, each time with another thing that documents do.
//! Every one must import and generate with the project's own overlay; what does not fit is reported.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers as well"
)]

use std::path::Path;

use serde_json::{Value, json};
use xtask::error::Error;
use xtask::generate::{self, Generated};
use xtask::overlay::{OVERLAY, Overlay};
use xtask::passes::Applied;
use xtask::resolve::Folder;
use xtask::{import, load};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// A reply with an envelope round `data`.
fn reply(data: Value) -> Value {
    json!({"description": "r", "content": {"application/json": {"schema": {
        "type": "object",
        "required": ["code", "data", "meta"],
        "properties": {
            "code": {"type": "number"},
            "data": data,
            "meta": {"type": "object", "properties": {"message": {"type": "string"}}},
        },
    }}}})
}

fn body(required: &[&str], properties: Value) -> Value {
    json!({"content": {"application/json": {"schema": {
        "type": "object", "required": required, "properties": properties,
    }}}})
}

fn text() -> Value {
    json!({"type": "string", "minLength": 1})
}

/// The six operations, everything inline.
fn revision() -> Value {
    let token =
        || json!({"type": "object", "required": ["token"], "properties": {"token": text()}});
    let failure = || reply(json!({"type": "object", "properties": {"errMsg": text()}}));
    json!({
        "openapi": "3.0.0",
        "info": {"title": "A made-up revision", "version": "1"},
        "servers": [{"url": "https://made-up.example.com/api/io"}],
        "security": [{"authToken": []}],
        "paths": {
            "/auth/customers/storefront": {"post": {
                "operationId": "post-auth-customers-storefront", "tags": ["Auth"],
                "requestBody": body(&["customerId"], json!({
                    "customerId": {"type": "integer"}, "channelId": {"type": "integer"},
                    "customerAccessToken": {"type": "object", "properties": {"value": text(), "expires_at": text()}},
                })),
                "responses": {"200": reply(token())},
            }},
            "/auth/customers": {"post": {
                "operationId": "post-auth-customer", "tags": ["Auth"], "security": [],
                "requestBody": body(&["storeHash", "email", "password"], json!({
                    "storeHash": text(), "email": text(), "password": text(), "channelId": {"type": "number"},
                })),
                "responses": {"200": reply(token())},
            }},
            "/auth/storefront": {"get": {
                "operationId": "get-auth-storefront", "tags": ["Auth"], "security": [],
                "parameters": [
                    {"name": "jwtToken", "in": "query", "required": true, "schema": {"type": "string"}},
                    {"name": "channelId", "in": "query", "schema": {"type": "string"}},
                ],
                "responses": {"200": reply(token()), "401": failure()},
            }},
            "/auth/backend": {
                "post": {
                    "operationId": "post-auth-backend", "tags": ["Auth"], "security": [],
                    "requestBody": body(&["storeHash", "email", "password", "name"], json!({
                        "storeHash": text(), "email": text(), "password": text(), "name": text(),
                    })),
                    "responses": {
                        "200": reply(json!({"type": "array", "items": {"type": "object", "properties": {
                            "name": text(), "token": text(),
                        }}})),
                        "400": failure(),
                    },
                },
                "delete": {
                    "operationId": "delete-auth-backend", "tags": ["Auth"],
                    "requestBody": body(&["id"], json!({"id": {"type": "integer"}, "name": text(), "email": text()})),
                    "responses": {"200": reply(json!({"type": "array", "items": {}})), "404": failure()},
                },
            },
            "/backend/tokens": {"get": {
                "operationId": "get-backend-tokens", "tags": ["Auth"],
                "parameters": [{"name": "limit", "in": "query", "schema": {"type": "integer"}}],
                "responses": {"200": reply(json!({"type": "array", "items": {"type": "object", "properties": {
                    "id": {"type": "number"}, "token": text(), "eventChannel": text(),
                }}}))},
            }},
        },
        "components": {"securitySchemes": {"authToken": {"type": "apiKey", "name": "authToken", "in": "header"}}},
    })
}

fn generated(document: &Value, strict: bool) -> Result<(Vec<Applied>, Generated), Error> {
    let source = load::source("made-up.json".to_owned(), document.to_string().into_bytes())?;
    let imported = import::import(&source, &Folder::none())?;
    let overlay = Overlay::parse(&load::read(&root().join(OVERLAY))?)?;
    let generated = generate::generate(imported.document, "made-up.json", &overlay, strict)?;
    syn::parse_file(&generated.client).unwrap();
    syn::parse_file(&generated.mocks).unwrap();
    Ok((imported.report, generated))
}

/// Sets what is at `pointer` of a copy of the revision; null takes it away.
fn with(changes: &[(&str, Value)]) -> Value {
    let mut document = revision();
    for (pointer, value) in changes {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let key = key.replace("~1", "/");
        let parent = document
            .pointer_mut(parent)
            .unwrap_or_else(|| panic!("{pointer}"));
        match (parent, value) {
            (Value::Object(parent), Value::Null) => drop(parent.remove(&key)),
            (Value::Object(parent), value) => drop(parent.insert(key, value.clone())),
            (Value::Array(list), value) => list.push(value.clone()),
            _ => panic!("{pointer}"),
        }
    }
    document
}

const MINT: &str = "/paths/~1auth~1customers~1storefront/post";
const CREATE: &str = "/paths/~1auth~1backend/post";
const SCHEMA: &str = "content/application~1json/schema";

/// The credentials of each operation.
fn credentials(generated: &Generated, rust_name: &str) -> String {
    let entry = generated
        .client
        .split("pub const ")
        .find(|entry| entry.starts_with(&format!("{}:", rust_name.to_uppercase())));
    let entry = entry.unwrap_or_else(|| panic!("{rust_name}"));
    let (_, list) = entry.split_once("credentials: ").unwrap();
    list.split("};")
        .next()
        .unwrap()
        .split_whitespace()
        .collect()
}

#[test]
fn a_revision_of_the_oldest_kind_generates_and_reports_what_does_not_apply() {
    let (_, generated) = generated(&revision(), false).unwrap();
    assert!(
        generated.overlay.applied > 50,
        "{}",
        generated.overlay.applied
    );
    // The parameter, the fields and the schema that this revision has not.
    assert_eq!(generated.overlay.skipped.len(), 6);
    for skipped in &generated.overlay.skipped {
        assert!(skipped.contains("matches nothing"), "{skipped}");
    }
    for (operation, expected) in [
        (
            "post_auth_customers_storefront",
            "&[&[\"X-Auth-Token\",\"X-Store-Hash\"]],",
        ),
        ("get_auth_storefront", "&[&[\"X-Store-Hash\"]],"),
        ("post_auth_backend", "&[&[]],"),
        ("delete_auth_backend", "&[&[\"authToken\"]],"),
    ] {
        assert_eq!(credentials(&generated, operation), expected, "{operation}");
    }
}

#[test]
fn what_does_not_apply_is_an_error_with_strict() {
    let error = generated(&revision(), true).unwrap_err().to_string();
    assert!(
        error.contains("matches nothing") && error.contains("remedy: "),
        "{error}"
    );
}

#[test]
fn every_known_drift_generates() {
    let mint_request = format!("{MINT}/requestBody/{SCHEMA}");
    let mint_data = format!("{MINT}/responses/200/{SCHEMA}/properties/data");
    let create_data = format!("{CREATE}/responses/200/{SCHEMA}/properties/data");
    let header = |name: &str| json!({"name": name, "in": "header", "required": true, "schema": {"type": "string"}});
    let cases: Vec<(&str, Vec<(String, Value)>)> = vec![
        (
            "customerAccessToken is a text",
            vec![(
                format!("{mint_request}/properties/customerAccessToken"),
                text(),
            )],
        ),
        (
            "no customerAccessToken",
            vec![(
                format!("{mint_request}/properties/customerAccessToken"),
                Value::Null,
            )],
        ),
        (
            "channelId is a text",
            vec![(
                format!("{mint_request}/properties/channelId"),
                json!({"type": "string", "default": 1}),
            )],
        ),
        (
            "the token is a list",
            vec![(
                format!("{mint_data}/properties/token"),
                json!({"type": "array", "items": text()}),
            )],
        ),
        ("data of anything", vec![(mint_data.clone(), json!({}))]),
        (
            "data without fields",
            vec![(mint_data, json!({"type": "object"}))],
        ),
        (
            "a created token alone",
            vec![(
                create_data.clone(),
                json!({"type": "object", "properties": {"name": text(), "token": text()}}),
            )],
        ),
        (
            "created tokens of anything",
            vec![(create_data, json!({"type": "array", "items": {}}))],
        ),
        (
            "no security at all",
            vec![
                ("/security".to_owned(), Value::Null),
                ("/components".to_owned(), Value::Null),
            ],
        ),
        (
            "headers as parameters",
            vec![
                (format!("{MINT}/parameters"), json!([header("authToken")])),
                (format!("{CREATE}/parameters"), json!([header("authToken")])),
                (
                    "/paths/~1auth~1storefront/parameters".to_owned(),
                    json!([header("X-Store-Hash"), header("X-Auth-Token")]),
                ),
                (
                    "/paths/~1backend~1tokens/get/security".to_owned(),
                    json!([]),
                ),
                (
                    "/paths/~1backend~1tokens/get/parameters".to_owned(),
                    json!([header("Access-Token")]),
                ),
            ],
        ),
        (
            "XML beside JSON",
            vec![(
                format!("{CREATE}/requestBody/content/application~1xml"),
                json!({"schema": {"type": "object", "properties": {"name": text()}}}),
            )],
        ),
        (
            "an address that answers 404",
            vec![(
                "/servers".to_owned(),
                json!([{"url": "https://made-up.example.com/api/v3/io/"}]),
            )],
        ),
        ("no server", vec![("/servers".to_owned(), Value::Null)]),
        (
            "a branch in another file",
            vec![(
                format!("{CREATE}/responses/400/{SCHEMA}"),
                json!({"allOf": [{"$ref": "../../models/response-object.yaml"}, {"type": "object", "properties": {"data": text()}}]}),
            )],
        ),
        (
            "no reply but failures",
            vec![
                (format!("{CREATE}/responses/200"), Value::Null),
                (
                    format!("{CREATE}/responses/default"),
                    json!({"description": "r"}),
                ),
            ],
        ),
        (
            "no operationId",
            vec![(format!("{MINT}/operationId"), Value::Null)],
        ),
        (
            "another operationId",
            vec![(format!("{CREATE}/operationId"), json!("createToken"))],
        ),
        (
            "no meta",
            vec![(
                format!("{MINT}/responses/200/{SCHEMA}/properties/meta"),
                Value::Null,
            )],
        ),
        (
            "no code",
            vec![(
                format!("{MINT}/responses/200/{SCHEMA}/properties/code"),
                Value::Null,
            )],
        ),
        ("OpenAPI 3.1", vec![("/openapi".to_owned(), json!("3.1.1"))]),
        (
            "an operation less",
            vec![("/paths/~1backend~1tokens".to_owned(), Value::Null)],
        ),
    ];
    for (name, changes) in cases {
        let changes: Vec<(&str, Value)> = changes
            .iter()
            .map(|(at, value)| (at.as_str(), value.clone()))
            .collect();
        let (_, made) =
            generated(&with(&changes), false).unwrap_or_else(|error| panic!("{name}: {error}"));
        match name {
            "customerAccessToken is a text" => {
                assert!(made.client.contains("customer_access_token: ::std::option::Option<\n            ::bigcommerce_b2b_auth_api::SecretString,"), "{name}");
            }
            "a created token alone" => {
                let skipped = made.overlay.skipped.join("\n");
                assert!(
                    skipped.contains(
                        "leads to the schema `PostAuthBackendResponse200DataItem`, which"
                    ),
                    "{skipped}"
                );
                // What the correction was to replace is there again.
                assert_eq!(
                    made.document["components"]["schemas"]["PostAuthBackendResponse200"]["properties"]
                        ["data"]["$ref"],
                    "#/components/schemas/PostAuthBackendResponse200Data"
                );
            }
            "data of anything" => {
                let skipped = made.overlay.skipped.join("\n");
                let expected = format!(
                    "{MINT}/x-issued-token: [missing-token] no success has the secret `data.token`"
                );
                assert!(skipped.contains(&expected), "{skipped}");
                let mint = made
                    .client
                    .split("pub const ")
                    .find(|entry| entry.starts_with("POST_AUTH_CUSTOMERS_STOREFRONT:"));
                assert!(mint.unwrap().contains("issued_token: None"), "{name}");
            }
            "no security at all" => {
                assert_eq!(
                    credentials(&made, "delete_auth_backend"),
                    "&[&[\"authToken\"]],"
                );
            }
            "headers as parameters" => {
                assert_eq!(
                    credentials(&made, "post_auth_customers_storefront"),
                    "&[&[\"X-Auth-Token\",\"X-Store-Hash\"],&[\"authToken\"]],"
                );
                assert_eq!(credentials(&made, "post_auth_backend"), "&[&[]],");
                assert_eq!(
                    credentials(&made, "get_auth_storefront"),
                    "&[&[\"X-Auth-Token\",\"X-Store-Hash\"]],"
                );
                assert_eq!(
                    credentials(&made, "get_backend_tokens"),
                    "&[&[\"Access-Token\"]],"
                );
            }
            "an address that answers 404" => {
                assert!(
                    made.mocks.contains("/api/io/auth") && !made.mocks.contains("v3"),
                    "{name}"
                );
            }
            _ => {}
        }
    }
}

#[test]
fn every_version_of_3_0_and_3_1_is_taken() {
    let expected = generated(&revision(), false).unwrap().1.client;
    for version in [
        "3.0", "3.0.0", "3.0.1", "3.0.2", "3.0.3", "3.0.4", "3.1", "3.1.0", "3.1.1",
    ] {
        let (report, made) = generated(&with(&[("/openapi", json!(version))]), false).unwrap();
        assert_eq!(made.client, expected, "{version}");
        let lower = report.iter().find(|pass| pass.name == "lower").unwrap();
        let settled = made.document["openapi"].as_str().unwrap();
        assert!(settled.starts_with("3.0."), "{settled}");
        assert_eq!(
            lower.changes.notes.len(),
            usize::from(settled != version),
            "{version}"
        );
    }
}

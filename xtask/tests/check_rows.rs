//! Each row of the check fires on its defect, with its place, its consequence and a remedy, and on nothing else.
//! The document without the defect passes every row.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers as well"
)]

use serde_json::{Value, json};
use xtask::check::{ROWS, check, undescribed};
use xtask::operation_keys::{missing_tokens, unstated};

/// A document in which nothing is wrong.
fn good() -> Value {
    json!({
        "openapi": "3.0.3",
        "info": {"title": "t", "version": "1"},
        "paths": {"/keys/{id}": {"post": {
            "operationId": "make-key",
            "summary": "s", "description": "d",
            "security": [{"Key": []}],
            "parameters": [
                {"name": "id", "in": "path", "required": true, "description": "d", "schema": {"type": "integer"}},
                {"name": "page", "in": "query", "description": "d", "schema": {"type": "integer"}}
            ],
            "requestBody": {"required": true, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/KeyOrder"}}}},
            "responses": {"200": {"description": "OK", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Key"}}}}}
        }}},
        "components": {
            "schemas": {
                "Key": {"type": "object", "description": "d", "properties": {
                    "id": {"type": "integer", "description": "d"},
                    "token": {"type": "string", "format": "password", "description": "d"}
                }},
                "KeyOrder": {"type": "object", "description": "d", "properties": {"name": {"type": "string", "description": "d"}}}
            },
            "securitySchemes": {"Key": {"type": "apiKey", "in": "header", "name": "X-Key", "description": "d"}}
        }
    })
}

/// Sets the node at `pointer`, making the last member if it is not there.
fn set(document: &mut Value, pointer: &str, value: Value) {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let key = key.replace("~1", "/");
    match document.pointer_mut(parent).unwrap() {
        Value::Object(object) => {
            object.insert(key, value);
        }
        Value::Array(list) => match key.parse::<usize>() {
            Ok(index) => list[index] = value,
            Err(_) => list.push(value),
        },
        other => panic!("{parent} is {other}"),
    }
}

const OPERATION: &str = "/paths/~1keys~1{id}/post";

/// The name of a row, and the changes that make its defect.
fn defects() -> Vec<(&'static str, Vec<(String, Value)>)> {
    let operation = |rest: &str| format!("{OPERATION}{rest}");
    let schema = |rest: &str| format!("/components/schemas{rest}");
    let field = || "/components/schemas/Key/properties/id".to_owned();
    let parameter = |value: Value| (format!("{OPERATION}/parameters/-"), value);
    vec![
        ("version", vec![("/openapi".to_owned(), json!("3.1.0"))]),
        ("shape", vec![("/info".to_owned(), json!("t"))]),
        ("shape", vec![(operation("/responses/200"), json!({}))]),
        (
            "shape",
            vec![(operation("/parameters/1/in"), json!("body"))],
        ),
        ("shape", vec![(operation("/parameters"), json!({}))]),
        ("shape", vec![(operation("/deprecated"), json!("yes"))]),
        ("shape", vec![(schema("/Key/required"), json!([1]))]),
        ("shape", vec![(schema("/Key/required"), json!("id"))]),
        ("shape", vec![(schema("/Key/properties"), json!([]))]),
        ("shape", vec![(field(), json!(true))]),
        (
            "shape",
            vec![(operation("/security/0"), json!({"Key": "none"}))],
        ),
        (
            "reference",
            vec![(field(), json!({"$ref": "#/components/schemas/Lock"}))],
        ),
        (
            "reference",
            vec![(field(), json!({"$ref": "other.yaml#/Lock"}))],
        ),
        (
            "reference",
            vec![(
                "/paths/~1b".to_owned(),
                json!({"$ref": "#/paths/~1keys~1{id}"}),
            )],
        ),
        (
            "reference",
            vec![(
                operation("/parameters/1"),
                json!({"$ref": "#/components/parameters/page"}),
            )],
        ),
        (
            "cycle",
            vec![
                (field(), json!({"$ref": "#/components/schemas/KeyOrder"})),
                (
                    schema("/KeyOrder/properties/name"),
                    json!({"type": "array", "items": {"$ref": "#/components/schemas/Key"}}),
                ),
            ],
        ),
        (
            "operation-id",
            vec![(operation("/operationId"), Value::Null)],
        ),
        (
            "operation-name-collision",
            vec![(
                "/paths/~1b".to_owned(),
                json!({"get": {"operationId": "makeKey", "responses": {"200": {"description": "OK"}}}}),
            )],
        ),
        (
            "operation-name-collision",
            vec![(operation("/operationId"), json!("exec"))],
        ),
        (
            "operation-name-collision",
            vec![(operation("/operationId"), json!("all"))],
        ),
        (
            "operation-name-collision",
            vec![
                (operation("/operationId"), json!("make-1")),
                (
                    "/paths/~1b".to_owned(),
                    json!({"get": {"operationId": "make1", "responses": {"200": {"description": "OK"}}}}),
                ),
            ],
        ),
        (
            "argument-name-collision",
            vec![parameter(
                json!({"name": "Page", "in": "header", "schema": {"type": "string"}}),
            )],
        ),
        (
            "argument-name-collision",
            vec![parameter(
                json!({"name": "body", "in": "query", "schema": {"type": "string"}}),
            )],
        ),
        (
            "argument-name-collision",
            vec![parameter(
                json!({"name": "headerMap", "in": "query", "schema": {"type": "string"}}),
            )],
        ),
        (
            "schema-name",
            vec![(schema("/key_2"), json!({"type": "object"}))],
        ),
        (
            "schema-shadows-inline",
            vec![(schema("/MakeKeyResponse"), json!({"type": "object"}))],
        ),
        (
            "field-name-collision",
            vec![(schema("/Key/properties/Id"), json!({"type": "integer"}))],
        ),
        (
            "field-name-collision",
            vec![(schema("/Key/properties/+1"), json!({"type": "integer"}))],
        ),
        (
            "path-template",
            vec![(
                operation("/parameters/0"),
                json!({"name": "key", "in": "path", "required": true, "schema": {"type": "integer"}}),
            )],
        ),
        (
            "failure-reply",
            vec![(operation("/responses/401"), json!({"description": "no"}))],
        ),
        (
            "failure-reply",
            vec![(operation("/responses/4XX"), json!({"description": "no"}))],
        ),
        (
            "failure-reply",
            vec![(
                operation("/responses/default"),
                json!({"description": "no"}),
            )],
        ),
        (
            "one-success",
            vec![(operation("/responses/204"), json!({"description": "OK"}))],
        ),
        ("one-success", vec![(operation("/responses"), json!({}))]),
        (
            "unknown-status",
            vec![(
                operation("/responses"),
                json!({"220": {"description": "OK"}}),
            )],
        ),
        (
            "inline-body",
            vec![(
                operation("/responses/200/content/application~1json/schema"),
                json!({"type": "object", "properties": {}}),
            )],
        ),
        (
            "inline-body",
            vec![(
                field(),
                json!({"oneOf": [{"type": "integer"}, {"type": "string"}]}),
            )],
        ),
        (
            "media-type",
            vec![(
                operation("/requestBody/content/application~1xml"),
                json!({"schema": {"type": "object"}}),
            )],
        ),
        (
            "media-type",
            vec![(
                operation("/requestBody/content"),
                json!({"multipart/form-data": {"schema": {"type": "object"}}}),
            )],
        ),
        (
            "media-type",
            vec![(
                operation("/responses/200/content"),
                json!({"application/problem+json": {"schema": {"type": "object"}}}),
            )],
        ),
        (
            "media-type",
            vec![(operation("/responses/200/content"), json!({}))],
        ),
        (
            "content-without-schema",
            vec![(
                operation("/responses/200/content/application~1json"),
                json!({}),
            )],
        ),
        (
            "optional-body",
            vec![(operation("/requestBody/required"), json!(false))],
        ),
        (
            "cookie-parameter",
            vec![parameter(
                json!({"name": "c", "in": "cookie", "schema": {"type": "string"}}),
            )],
        ),
        (
            "ignored-header",
            vec![parameter(
                json!({"name": "accept", "in": "header", "schema": {"type": "string"}}),
            )],
        ),
        (
            "credential-parameter",
            vec![parameter(
                json!({"name": "x-key", "in": "header", "schema": {"type": "string"}}),
            )],
        ),
        (
            "secret-parameter",
            vec![parameter(
                json!({"name": "X-Pin", "in": "header", "schema": {"type": "string", "format": "password"}}),
            )],
        ),
        (
            "secret-parameter",
            vec![(
                operation("/parameters/0/schema"),
                json!({"type": "string", "format": "password"}),
            )],
        ),
        (
            "optional-path-parameter",
            vec![(operation("/parameters/0/required"), json!(false))],
        ),
        (
            "parameter-style",
            vec![(operation("/parameters/1/style"), json!("deepObject"))],
        ),
        (
            "parameter-style",
            vec![(operation("/parameters/1/allowReserved"), json!(true))],
        ),
        (
            "parameter-type",
            vec![(
                operation("/parameters/1/schema"),
                json!({"type": "array", "items": {"type": "string"}}),
            )],
        ),
        (
            "parameter-type",
            vec![(
                operation("/parameters/1"),
                json!({"name": "page", "in": "query", "content": {"application/json": {"schema": {"type": "string"}}}}),
            )],
        ),
        (
            "parameter-type",
            vec![(operation("/parameters/1/name"), json!("?"))],
        ),
        (
            "credentials",
            vec![(
                "/components/securitySchemes/Key/in".to_owned(),
                json!("query"),
            )],
        ),
        (
            "credentials",
            vec![(operation("/security"), json!([{"None": []}]))],
        ),
        (
            "allof-disagree",
            vec![(
                field(),
                json!({"allOf": [{"type": "integer"}, {"type": "number"}]}),
            )],
        ),
        (
            "allof-disagree",
            vec![(
                field(),
                json!({"allOf": [{"type": "integer"}, {"$ref": "#/components/schemas/KeyOrder"}]}),
            )],
        ),
        (
            "allof-closed",
            vec![(
                field(),
                json!({"allOf": [{"type": "object", "additionalProperties": false}, {"type": "object"}]}),
            )],
        ),
        (
            "allof",
            vec![(
                field(),
                json!({"allOf": [{"type": "integer"}, {"title": "t"}]}),
            )],
        ),
        (
            "anyof",
            vec![(field(), json!({"anyOf": [{"type": "integer"}]}))],
        ),
        ("not", vec![(field(), json!({"not": {"type": "integer"}}))]),
        (
            "type",
            vec![(field(), json!({"type": ["integer", "null"]}))],
        ),
        ("type", vec![(field(), json!({"type": "whole"}))]),
        ("number-id", vec![(field(), json!({"type": "number"}))]),
        (
            "default",
            vec![(field(), json!({"type": "integer", "default": "one"}))],
        ),
        (
            "closed-enum",
            vec![(schema("/KeyOrder/properties/name/enum"), json!(["a"]))],
        ),
        (
            "closed-object",
            vec![(schema("/Key/additionalProperties"), json!(false))],
        ),
        (
            "bound",
            vec![(schema("/KeyOrder/properties/name/minLength"), json!(1))],
        ),
        (
            "bound",
            vec![(schema("/Key/properties/id/maximum"), json!(1))],
        ),
        (
            "format",
            vec![(schema("/KeyOrder/properties/name/format"), json!("uuid"))],
        ),
        (
            "secret-constrained",
            vec![(schema("/Key/properties/token/nullable"), json!(true))],
        ),
        (
            "secret-constrained",
            vec![(schema("/Key/properties/token/minLength"), json!(1))],
        ),
        (
            "secret-constrained",
            vec![(schema("/Key/properties/token/x-strength"), json!("high"))],
        ),
        (
            "secret-constrained",
            vec![(schema("/Key/properties/token/type"), json!("integer"))],
        ),
        (
            "secret-unmarked",
            vec![(schema("/Key/properties/token"), json!({"type": "string"}))],
        ),
        (
            "secret-unmarked",
            vec![(
                schema("/Key/properties/refreshToken"),
                json!({"type": "array", "items": {"type": "string"}}),
            )],
        ),
        (
            "secret-unmarked",
            vec![
                (operation("/parameters/1/name"), json!("jwtToken")),
                (operation("/parameters/1/schema/type"), json!("string")),
            ],
        ),
        ("extension", vec![(schema("/Key/x-rust-type"), json!({}))]),
        ("extension", vec![(operation("/x-more"), json!(1))]),
        ("extension", vec![(operation("/x-repeatible"), json!(true))]),
        ("extension", vec![(operation("/repeatable"), json!(true))]),
        (
            "extension",
            vec![("/paths/~1keys~1{id}/x-repeatable".to_owned(), json!(true))],
        ),
        (
            "sdk-name",
            vec![(operation("/x-sdk-name"), json!("MakeKey"))],
        ),
        ("sdk-name", vec![(operation("/x-sdk-name"), json!("move"))]),
        (
            "sdk-name",
            vec![(operation("/x-sdk-name"), json!(["make"]))],
        ),
        (
            "sdk-name",
            vec![
                (operation("/x-sdk-name"), json!("get_key")),
                (
                    "/paths/~1b".to_owned(),
                    json!({"get": {"operationId": "get-key", "responses": {"200": {"description": "OK"}}}}),
                ),
            ],
        ),
        (
            "operation-flag",
            vec![(operation("/x-repeatable"), json!("true"))],
        ),
        (
            "operation-flag",
            vec![(operation("/x-absent-is-done"), json!(1))],
        ),
        (
            "absent-is-done",
            vec![(operation("/x-absent-is-done"), json!(true))],
        ),
        (
            "issued-token",
            vec![(operation("/x-issued-token"), json!("token"))],
        ),
        (
            "issued-token",
            vec![(operation("/x-issued-token"), json!([]))],
        ),
        (
            "issued-token",
            vec![(operation("/x-issued-token"), json!(["token", 1]))],
        ),
    ]
}

#[test]
fn the_document_without_a_defect_passes() {
    assert_eq!(check(&good()), []);
    assert_eq!(undescribed(&good()), []);
}

#[test]
fn each_row_fires_on_its_defect() {
    let mut story = String::new();
    for (row, changes) in defects() {
        let mut document = good();
        for (pointer, value) in &changes {
            set(&mut document, pointer, value.clone());
        }
        let label = format!("[{row}] ");
        let findings = check(&document);
        let found = findings
            .iter()
            .find(|finding| finding.message.starts_with(&label))
            .unwrap_or_else(|| panic!("{row} does not fire on {changes:?}: {findings:#?}"));
        story.push_str(&format!(
            "{}: {}\n  remedy: {}\n",
            found.pointer, found.message, found.remedy
        ));
    }
    insta::assert_snapshot!("rows", story);
}

#[test]
fn every_row_has_a_defect() {
    let tested: Vec<&str> = defects().into_iter().map(|(row, _)| row).collect();
    for row in ROWS {
        assert!(
            tested.contains(&row.name),
            "{} has no defect in this test",
            row.name
        );
    }
}

#[test]
fn the_keys_of_an_operation_pass_with_values_that_fit() {
    let mut document = good();
    for (key, value) in [
        ("x-sdk-name", json!("cut_key")),
        ("x-repeatable", json!(true)),
        ("x-absent-is-done", json!(true)),
        ("x-issued-token", json!(["token"])),
    ] {
        set(&mut document, &format!("{OPERATION}/{key}"), value);
    }
    assert_eq!(check(&document), []);
}

#[test]
fn an_issued_token_is_found_through_references_lists_and_choices() {
    let mut document = good();
    for (name, schema) in [
        (
            "Ring",
            json!({"type": "object", "properties": {"data": {"$ref": "#/components/schemas/RingData"}}}),
        ),
        (
            "RingData",
            json!({"oneOf": [
                {"type": "array", "items": {"$ref": "#/components/schemas/Key"}},
                {"allOf": [{"$ref": "#/components/schemas/Key"}]}
            ]}),
        ),
    ] {
        set(
            &mut document,
            &format!("/components/schemas/{name}"),
            schema,
        );
    }
    set(
        &mut document,
        &format!("{OPERATION}/responses/200/content/application~1json/schema/$ref"),
        json!("#/components/schemas/Ring"),
    );
    let token = format!("{OPERATION}/x-issued-token");
    for (members, found) in [
        (json!(["data", "token"]), true),
        (json!(["data", "id"]), false),
        (json!(["data"]), false),
        (json!(["token"]), false),
    ] {
        set(&mut document, &token, members.clone());
        assert_eq!(check(&document), []);
        let findings = missing_tokens(&document);
        assert_eq!(findings.is_empty(), found, "{members}: {findings:#?}");
        for finding in findings {
            assert_eq!(finding.pointer, token);
            assert!(finding.remedy.contains("`[data, token]`"), "{finding:#?}");
        }
    }
}

#[test]
fn an_operation_that_does_not_say_whether_it_is_repeatable_is_named() {
    let mut document = good();
    let findings = unstated(&document);
    assert_eq!(findings.len(), 1, "{findings:#?}");
    assert_eq!(findings[0].pointer, OPERATION);
    assert!(
        findings[0].remedy.contains("`x-repeatable: true`"),
        "{findings:#?}"
    );
    set(
        &mut document,
        &format!("{OPERATION}/x-repeatable"),
        json!(false),
    );
    assert_eq!(unstated(&document), []);
}

#[test]
fn what_has_no_description_is_named() {
    for (pointer, what) in [
        (OPERATION, "the operation"),
        ("/paths/~1keys~1{id}/post/parameters/1", "the parameter"),
        ("/components/schemas/Key", "the schema"),
        ("/components/schemas/Key/properties/token", "the field"),
        ("/components/securitySchemes/Key", "the security scheme"),
    ] {
        let mut document = good();
        document
            .pointer_mut(pointer)
            .unwrap()
            .as_object_mut()
            .unwrap()
            .remove("description");
        let findings = undescribed(&document);
        assert_eq!(findings.len(), 1, "{findings:#?}");
        assert_eq!(findings[0].pointer, pointer);
        assert_eq!(
            findings[0].message,
            format!("[undescribed] {what} has no description")
        );
    }
}

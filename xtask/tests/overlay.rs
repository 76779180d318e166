//! The overlay proves that it still bites: an action without a reason, a target or an effect is an error that names it.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers as well"
)]

use serde_json::json;
use xtask::load;
use xtask::overlay::Overlay;

fn parse(actions: serde_json::Value) -> Result<Overlay, xtask::error::Error> {
    let text =
        json!({"overlay": "1.1.0", "info": {"title": "t", "version": "1"}, "actions": actions});
    let source = load::source("overlay.yaml".to_owned(), text.to_string().into_bytes()).unwrap();
    Overlay::parse(&source)
}

fn document() -> serde_json::Value {
    json!({"schemas": {"Key": {"type": "number", "required": ["a", "b"], "part": {"size": 1}}}})
}

/// What strict application says.
fn refusal(actions: serde_json::Value) -> String {
    let mut document = document();
    match parse(actions).and_then(|overlay| overlay.apply(&mut document, true)) {
        Ok(outcome) => format!("applied {}: {document}", outcome.applied),
        Err(error) => error.to_string(),
    }
}

#[test]
fn each_refusal_names_the_action() {
    let remove_required =
        json!({"description": "It is wrong.", "target": "$.schemas.Key.required", "remove": true});
    let cases = [
        (
            "fits",
            json!([{"description": "It is whole.", "target": "$.schemas.Key", "update": {"type": "integer"}}]),
        ),
        (
            "no reason",
            json!([
                {"description": "It is whole.", "target": "$.schemas.Key", "update": {"type": "integer"}},
                {"target": "$.schemas.Key", "update": {"a": 1}},
                {"description": " ", "target": "$.schemas", "update": {"a": 1}},
            ]),
        ),
        (
            "matches nothing",
            json!([{"description": "It is whole.", "target": "$.schemas.Lock", "update": {"type": "integer"}}]),
        ),
        (
            "changes nothing",
            json!([{"description": "It is a fraction.", "target": "$.schemas.Key", "update": {"type": "number"}}]),
        ),
        (
            "removed and put back",
            json!([
                remove_required,
                {"description": "It is right after all.", "target": "$.schemas.Key", "update": {"required": ["a", "b"]}},
            ]),
        ),
        (
            "removed and replaced",
            json!([
                remove_required,
                {"description": "This is right.", "target": "$.schemas.Key", "update": {"required": ["b"]}},
            ]),
        ),
        (
            "no path",
            json!([{"description": "It is whole.", "target": "schemas", "update": {"a": 1}}]),
        ),
        (
            "a value as target",
            json!([{"description": "It is whole.", "target": "$.schemas.Key.type", "remove": true}]),
        ),
        (
            "does nothing",
            json!([{"description": "It is whole.", "target": "$.schemas"}]),
        ),
        ("no actions", json!([])),
    ];
    let text: String = cases
        .into_iter()
        .map(|(name, actions)| format!("-- {name}\n{}\n", refusal(actions)))
        .collect();
    insta::assert_snapshot!("refusals", text);
}

#[test]
fn without_strict_what_does_not_apply_is_reported_and_skipped() {
    let overlay = parse(json!([
        {"description": "It has a lock.", "target": "$.schemas.Lock", "update": {"type": "integer"}},
        {"description": "It is whole.", "target": "$.schemas.Key", "update": {"type": "integer"}},
    ]))
    .unwrap();
    let mut document = document();
    let outcome = overlay.apply(&mut document, false).unwrap();
    assert_eq!((outcome.applied, outcome.skipped.len()), (1, 1));
    assert!(
        outcome.skipped[0].contains("`$.schemas.Lock` matches nothing"),
        "{:?}",
        outcome.skipped
    );
    assert_eq!(document["schemas"]["Key"]["type"], "integer");
}

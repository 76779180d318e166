//! A document of a whole platform: 85 paths and many tags, of which exactly the Authentication operations are taken.
//! And what is said of operations that moved, were renamed, vanished or are new.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers as well"
)]

use std::path::Path;

use serde_json::{Map, Value, json};
use xtask::canonical::to_yaml;
use xtask::import::{self, Imported};
use xtask::overlay::{OVERLAY, Overlay};
use xtask::resolve::Folder;
use xtask::{generate, load, select, shape};

fn fixture(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name);
    load::parse(&load::read(&path).unwrap()).unwrap()
}

fn import_of(document: &Value) -> Imported {
    let source =
        load::source("made-up.json".to_owned(), document.to_string().into_bytes()).unwrap();
    import::import(&source, &Folder::none()).unwrap()
}

/// Puts `prefix` before every reference into the components of `node`, so that documents can stand in one.
fn rename_references(node: &mut Value, prefix: &str) {
    match node {
        Value::Object(object) => {
            if let Some(Value::String(target)) = object.get_mut("$ref")
                && let Some(rest) = target.strip_prefix("#/components/schemas/")
            {
                *target = format!("#/components/schemas/{prefix}{rest}");
            }
            object
                .values_mut()
                .for_each(|child| rename_references(child, prefix));
        }
        Value::Array(list) => list
            .iter_mut()
            .for_each(|child| rename_references(child, prefix)),
        _ => {}
    }
}

/// The operations of the project's own document among those of a platform: 85 paths below one server, each part with its
/// tag, its own schemas, and what makes a generator stumble: cycles, references to other files, bodies of every kind.
fn merged() -> Value {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let own = load::parse(&load::read(&root.join(import::DOCUMENT)).unwrap()).unwrap();
    let mut document = json!({
        "openapi": "3.0.3",
        "info": {"title": "A made-up platform", "version": "1"},
        "servers": [{"url": "https://made-up.example.com"}],
        "tags": [],
        "paths": {},
        "components": {"schemas": {}, "securitySchemes": own["components"]["securitySchemes"].clone()},
    });
    let mut paths = Map::new();
    let mut schemas = Map::new();
    for (path, item) in own["paths"].as_object().unwrap() {
        let mut item = item.clone();
        for operation in item.as_object_mut().unwrap().values_mut() {
            operation["tags"] = json!(["authentication"]);
        }
        paths.insert(format!("/api/v3/io{path}"), item);
    }
    for (name, schema) in own["components"]["schemas"].as_object().unwrap() {
        schemas.insert(name.clone(), schema.clone());
    }
    let own_paths = paths.len();
    let samples = [
        "closed-values.yaml",
        "two-media-types.yaml",
        "references.yaml",
        "numbers.yaml",
    ]
    .map(fixture);
    for part in 0..(85 - own_paths) {
        let sample = &samples[part % samples.len()];
        let prefix = format!("part{part}");
        let mut item = sample["paths"]
            .as_object()
            .unwrap()
            .values()
            .next()
            .unwrap()
            .clone();
        rename_references(&mut item, &prefix);
        for (index, operation) in item.as_object_mut().unwrap().values_mut().enumerate() {
            if operation.is_object() {
                operation["tags"] = json!([format!("Part {}", part / 8)]);
                operation["operationId"] = json!(format!("part-{part}-{index}"));
                operation["description"] = json!("A long text of a made-up operation. ".repeat(40));
            }
        }
        paths.insert(format!("/api/v3/io/part{part}"), item);
        let own = sample
            .pointer("/components/schemas")
            .cloned()
            .unwrap_or_else(|| json!({}));
        for (name, mut schema) in own.as_object().unwrap().clone() {
            rename_references(&mut schema, &prefix);
            schemas.insert(format!("{prefix}{name}"), schema);
        }
        schemas.insert(format!("{prefix}tree"), json!({"type": "object", "properties": {
            "branches": {"type": "array", "items": {"$ref": format!("#/components/schemas/{prefix}tree")}},
            "far": {"$ref": "../elsewhere.yaml#/far"},
        }}));
    }
    document["paths"] = Value::Object(paths);
    document["components"]["schemas"] = Value::Object(schemas);
    document
}

fn generated(document: Value) -> generate::Generated {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let overlay = Overlay::parse(&load::read(&root.join(OVERLAY)).unwrap()).unwrap();
    generate::generate(document, "merged", &overlay, false).unwrap()
}

#[test]
fn of_85_paths_exactly_ours_are_taken_and_come_out_as_ours() {
    let document = merged();
    assert_eq!(document["paths"].as_object().unwrap().len(), 85);
    let imported = import_of(&document);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let own = load::parse(&load::read(&root.join(import::DOCUMENT)).unwrap()).unwrap();
    // The same operations and schemas; only version and server are the platform's.
    assert_eq!(imported.document["paths"], own["paths"]);
    assert_eq!(imported.document["components"], own["components"]);
    assert_eq!(
        imported.document["servers"],
        json!([{"url": "https://made-up.example.com/api/v3/io"}])
    );
    let moved = imported
        .report
        .iter()
        .find(|pass| pass.name == "base-path")
        .unwrap();
    assert_eq!(moved.changes.notes.len(), 7, "{:#?}", moved.changes.notes);
    assert_eq!(
        select::compare(&select::known(None), &imported.document).notes,
        [""; 0]
    );
    let generated = generated(imported.document);
    assert_eq!(shape::operations(&generated.document).len(), 6);
}

/// Writes the merged document, for those who measure: `XTASK_MERGED=FILE cargo test -p xtask --test merged`.
#[test]
fn the_merged_document_can_be_written() {
    let Some(file) = std::env::var_os("XTASK_MERGED") else {
        return;
    };
    std::fs::write(file, to_yaml("merged", "", &merged()).unwrap()).unwrap();
}

#[test]
fn what_moved_was_renamed_vanished_or_is_new_has_a_line_each() {
    let mut document = merged();
    let paths = document["paths"].as_object_mut().unwrap();
    // Moved to another path, and to another method.
    let mint = paths
        .remove("/api/v3/io/auth/customers/storefront")
        .unwrap();
    paths.insert("/api/v3/io/auth/mint".to_owned(), mint);
    let exchange = paths["/api/v3/io/auth/storefront"].as_object_mut().unwrap();
    let operation = exchange.remove("get").unwrap();
    exchange.insert("post".to_owned(), operation);
    // Renamed, vanished, new.
    paths["/api/v3/io/auth/customers"]["post"]["operationId"] = json!("log-in");
    paths.remove("/api/v3/io/backend/tokens").unwrap();
    paths.insert(
        "/api/v3/io/auth/check".to_owned(),
        json!({"get": {"tags": ["Authentication"], "operationId": "check-token", "responses": {"200": {"description": "OK"}}}}),
    );
    let imported = import_of(&document);
    let changes = select::compare(&select::known(None), &imported.document);
    insta::assert_snapshot!("operations", changes.notes.join("\n"));
    let generated = generated(imported.document);
    // The new one is generated, with its line in the table that the SDK's test goes through.
    for part in [
        "pub async fn check_token<'a>",
        "id: \"check-token\"",
        "CHECK_TOKEN,",
    ] {
        assert!(generated.client.contains(part), "{part}");
    }
}

//! Every kind of change between two documents, as a pair made from one base document, with exactly what is reported.
//! Then the pairs that say the same on the wire, the three formats, the proposal, the command line, and bad input.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers as well"
)]

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use xtask::diff::{Class, References, Report, Side, Step, Verdict, diff, propose};
use xtask::load;

/// A pointer and what to put there, in YAML; `gone` takes it away.
type Edits = &'static [(&'static str, &'static str)];

/// A pair of documents, each the base with edits, and what is reported: class, operation, pointer; the pointer leads into
/// the old document where it is marked with `-`.
struct Pair {
    name: &'static str,
    old: Edits,
    new: Edits,
    reported: &'static [(&'static str, &'static str, &'static str)],
}

fn parsed(text: &str) -> Value {
    let source = load::source("inline.yaml".to_owned(), text.as_bytes().to_vec()).unwrap();
    load::parse(&source).unwrap()
}

fn base() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/diff/base.yaml");
    load::parse(&load::read(&path).unwrap()).unwrap()
}

/// `{cut}`, `{body}` and `{reply}` stand for the places that most pairs change.
fn full(pointer: &str) -> String {
    pointer
        .replace(
            "{body}",
            "{cut}/requestBody/content/application~1json/schema",
        )
        .replace(
            "{reply}",
            "{cut}/responses/200/content/application~1json/schema",
        )
        .replace("{cut}", "/paths/~1keys/post")
        .replace("{get}", "/paths/~1keys~1{key}/get")
}

fn edited(edits: Edits) -> Value {
    let mut document = base();
    for (pointer, value) in edits {
        let pointer = full(pointer);
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let key = key.replace("~1", "/").replace("~0", "~");
        let parent = document
            .pointer_mut(parent)
            .unwrap_or_else(|| panic!("{parent}"));
        match (parent, *value) {
            (Value::Object(members), "gone") => {
                members.remove(&key).unwrap_or_else(|| panic!("{pointer}"));
            }
            (Value::Object(members), value) => {
                members.insert(key, parsed(value));
            }
            (Value::Array(list), "gone") => {
                list.remove(key.parse().unwrap());
            }
            (Value::Array(list), value) if key == "+" => list.push(parsed(value)),
            (Value::Array(list), value) => list[key.parse::<usize>().unwrap()] = parsed(value),
            (other, _) => panic!("{pointer} in {other}"),
        }
    }
    document
}

fn report(old: &Value, new: &Value) -> Report {
    diff(old, new, &References::none()).unwrap_or_else(|error| panic!("{error:?}"))
}

/// What a report holds, as the table writes it. Every pointer must resolve in its document.
fn listed(report: &Report, old: &Value, new: &Value) -> Vec<(String, String, String)> {
    report
        .changes
        .iter()
        .map(|change| {
            let (document, mark) = match change.side {
                Side::Old => (old, "-"),
                Side::New => (new, ""),
            };
            assert!(
                document.pointer(&change.pointer).is_some(),
                "{} leads nowhere: {}",
                change.pointer,
                change.what
            );
            (
                change.class.name().to_owned(),
                change.operation.clone(),
                format!("{mark}{}", change.pointer),
            )
        })
        .collect()
}

const CUT: &str = "cut-key";
const GET: &str = "get-key";
const B: &str = "breaking";
const A: &str = "additive";
const N: &str = "neutral";

include!("fixtures/diff/changes.rs");

#[test]
fn every_kind_of_change_is_reported_once_with_its_class_and_place() {
    assert!(CHANGES.len() >= 60);
    let mut wrong = Vec::new();
    for pair in CHANGES {
        let (old, new) = (edited(pair.old), edited(pair.new));
        let report = report(&old, &new);
        let found = listed(&report, &old, &new);
        let mut wanted: Vec<(String, String, String)> = pair
            .reported
            .iter()
            .map(|(class, operation, pointer)| {
                ((*class).to_owned(), (*operation).to_owned(), full(pointer))
            })
            .collect();
        let mut sorted = found.clone();
        sorted.sort();
        wanted.sort();
        if sorted != wanted {
            wrong.push(format!(
                "{}:\n  found  {sorted:?}\n  wanted {wanted:?}",
                pair.name
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_only_moves_or_is_spelt_otherwise_is_no_change() {
    assert!(SAME.len() >= 15);
    let mut wrong = Vec::new();
    for (name, one, other) in SAME {
        let (one, other) = (edited(one), edited(other));
        for (old, new) in [(&one, &other), (&other, &one)] {
            let report = report(old, new);
            if !report.changes.is_empty() {
                wrong.push(format!("{name}:\n{}", report.text()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_document_is_itself_in_every_order_and_format() {
    fn reversed(value: &Value) -> String {
        match value {
            Value::Object(members) => {
                let members: Vec<String> = members
                    .iter()
                    .rev()
                    .map(|(key, value)| format!("{}:{}", json!(key), reversed(value)))
                    .collect();
                format!("{{{}}}", members.join(","))
            }
            Value::Array(list) => {
                let list: Vec<String> = list.iter().map(reversed).collect();
                format!("[{}]", list.join(","))
            }
            scalar => scalar.to_string(),
        }
    }
    let backwards = load::source("b.json".to_owned(), reversed(&base()).into_bytes()).unwrap();
    let report = report(&base(), &load::parse(&backwards).unwrap());
    assert_eq!(report.text(), "No change.\n");
    assert_eq!(propose(&report).step, Step::None);
}

/// A pair with something of everything.
fn rich() -> Report {
    report(
        &edited(&[("{cut}/operationId", "post-auth-customers-storefront")]),
        &edited(&[
            ("{cut}/operationId", "post-auth-customers-storefront"),
            ("{cut}/summary", "Cuts one key | or more"),
            ("{cut}/deprecated", "true"),
            ("{body}/properties/customerId", "{type: integer}"),
            ("{body}/required", "[blank, customerId]"),
            ("{body}/properties/depth/maximum", "gone"),
            ("{reply}/properties/data", "{type: object}"),
            ("{reply}/properties/id/type", "string"),
            (
                "{cut}/responses/404/content/application~1json/schema",
                "{type: object}",
            ),
            ("{get}/security", "[{seal: []}]"),
            ("/info/version", "'2'"),
            (
                "/paths/~1keys/get",
                "{operationId: list-keys, tags: [Auth], responses: {'204': {description: None}}}",
            ),
        ]),
    )
}

#[test]
fn the_three_formats() {
    let report = rich();
    insta::assert_snapshot!("diff_text", report.text());
    insta::assert_snapshot!("diff_markdown", report.markdown());
    insta::assert_snapshot!("diff_json", report.json());
    insta::assert_snapshot!("diff_proposal", propose(&report).text());
}

#[test]
fn the_json_has_exactly_the_promised_members() {
    let json: Value = serde_json::from_str(&rich().json()).unwrap();
    let members = |value: &Value| -> Vec<String> {
        let mut keys: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
        keys.sort();
        keys
    };
    assert_eq!(members(&json), ["changes", "summary"]);
    assert_eq!(
        members(&json["summary"]),
        ["additive", "breaking", "neutral"]
    );
    let counted = |class: &str| {
        let changes = json["changes"].as_array().unwrap();
        changes
            .iter()
            .filter(|change| change["class"] == class)
            .count()
    };
    for class in [B, A, N] {
        assert_eq!(json["summary"][class], counted(class));
    }
    for change in json["changes"].as_array().unwrap() {
        assert_eq!(
            members(change),
            ["class", "message", "operation", "pointer"]
        );
    }
}

#[test]
fn the_proposal_goes_by_the_worst_change() {
    let step = |new: Edits| propose(&report(&base(), &edited(new))).step;
    assert_eq!(step(&[("{cut}/operationId", "gone")]), Step::Minor);
    assert_eq!(step(&[("{reply}/properties/more", "{}")]), Step::Patch);
    assert_eq!(step(&[("{cut}/summary", "Else")]), Step::Patch);
    assert_eq!(step(&[]), Step::None);
}

/// The verdict on a change of one of the six operations.
fn verdicts(operation: &str, old: Edits, new: Edits) -> Vec<(Class, Verdict, String)> {
    let named = |edits: Edits| {
        let mut document = edited(edits);
        document["paths"]["/keys"]["post"]["operationId"] = json!(operation);
        document
    };
    report(&named(old), &named(new))
        .changes
        .iter()
        .map(|change| (change.class, change.coping.verdict, change.message()))
        .collect()
}

#[test]
fn the_report_knows_what_the_sdk_takes_already() {
    use Verdict::{Copes, NeedsWork, NotConcerned};
    const MINT: &str = "post-auth-customers-storefront";
    const LOGIN: &str = "post-auth-customer";
    let cases: &[(&str, Edits, Edits, Verdict, &str)] = &[
        (
            MINT,
            &[(
                "{reply}/properties/data",
                "{type: object, properties: {token: {type: string}}}",
            )],
            &[(
                "{reply}/properties/data",
                "{type: object, properties: {token: {type: array}}}",
            )],
            Copes,
            "as a string or as a list",
        ),
        (
            "post-auth-backend",
            &[("{reply}/properties/data", "{type: array}")],
            &[("{reply}/properties/data", "{type: object}")],
            Copes,
            "in a list or alone",
        ),
        (
            MINT,
            &[("{reply}/properties/data", "{type: array}")],
            &[("{reply}/properties/data", "{type: object}")],
            NeedsWork,
            "malformed reply",
        ),
        (
            MINT,
            &[("{reply}/properties/code", "{type: integer}")],
            &[("{reply}/properties/code", "{type: string}")],
            Copes,
            "any value here",
        ),
        (
            MINT,
            &[],
            &[("{reply}/properties/data", "{}")],
            Copes,
            "ignores fields",
        ),
        (
            MINT,
            &[],
            &[(
                "/components/schemas/Problem/properties/reason/type",
                "array",
            )],
            Copes,
            "by their shape",
        ),
        (
            MINT,
            &[],
            &[("{reply}/properties/state/enum/+", "lost")],
            Copes,
            "keeps values",
        ),
        (
            MINT,
            &[("{body}/properties/channelId", "{type: number}")],
            &[("{body}/properties/channelId", "{type: integer}")],
            Copes,
            "makes it an integer",
        ),
        (
            "get-auth-storefront",
            &[(
                "{cut}/parameters/0",
                "{name: channelId, in: query, schema: {type: string}}",
            )],
            &[(
                "{cut}/parameters/0",
                "{name: channelId, in: query, schema: {type: integer}}",
            )],
            Copes,
            "same text in the URL",
        ),
        (
            LOGIN,
            &[("{body}/properties/channelId", "{type: integer}")],
            &[
                ("{body}/properties/channelId", "{type: integer}"),
                ("{body}/required", "[blank, channelId]"),
            ],
            NeedsWork,
            "only where the caller gives it",
        ),
        (
            LOGIN,
            &[("{body}/properties/email", "{type: string}")],
            &[("{body}/properties/email", "{type: string, minLength: 1}")],
            Copes,
            "keeps this bound",
        ),
        (
            LOGIN,
            &[("{body}/properties/email", "{type: string}")],
            &[("{body}/properties/email", "{type: string, minLength: 7}")],
            NeedsWork,
            "does not check it",
        ),
        (
            LOGIN,
            &[("{cut}/security", "[]")],
            &[
                ("/components/securitySchemes/seal/name", "X-Auth-Token"),
                ("{cut}/security", "[{seal: []}]"),
            ],
            Copes,
            "where the client holds an access token",
        ),
        (
            MINT,
            &[],
            &[
                ("/components/securitySchemes/seal/name", "X-Auth-Token"),
                ("{cut}/security", "[{seal: []}]"),
            ],
            Copes,
            "overlay has it send these",
        ),
        (
            MINT,
            &[],
            &[("{cut}/security", "[{seal: []}]")],
            NeedsWork,
            "other credentials",
        ),
        (
            "get-auth-storefront",
            &[],
            &[(
                "{cut}/parameters/+",
                "{name: X-Store-Hash, in: header, required: true}",
            )],
            Copes,
            "send this header already",
        ),
        (
            "get-auth-storefront",
            &[(
                "{cut}/parameters/+",
                "{name: X-Store-Hash, in: header, required: true}",
            )],
            &[],
            NeedsWork,
            "still sends this header",
        ),
        (
            MINT,
            &[],
            &[("/servers/0/url", "https://other.example")],
            NeedsWork,
            "base URL",
        ),
        (
            "no-such-call",
            &[],
            &[("{reply}/properties/id/type", "string")],
            NotConcerned,
            "not one of",
        ),
        (
            MINT,
            &[],
            &[(
                "/paths/~1keys/get",
                "{operationId: list-keys, tags: [Auth], responses: {}}",
            )],
            NeedsWork,
            "waits for its place",
        ),
        (
            MINT,
            &[],
            &[(
                "/paths/~1keys/get",
                "{operationId: list-keys, tags: [Locks], responses: {}}",
            )],
            NotConcerned,
            "not one of",
        ),
        (
            MINT,
            &[],
            &[("{cut}/summary", "Else")],
            NotConcerned,
            "the wire is the same",
        ),
        (
            MINT,
            &[
                ("{reply}/properties/data", "{type: object}"),
                ("{reply}/required", "[id, data]"),
            ],
            &[("{reply}/properties/data", "{type: object}")],
            NeedsWork,
            "where it is missing",
        ),
        (
            MINT,
            &[],
            &[("{reply}/required", "[]")],
            Copes,
            "the field is optional",
        ),
    ];
    for (operation, old, new, verdict, words) in cases {
        let found = verdicts(operation, old, new);
        let [(_, found, message)] = found.as_slice() else {
            panic!("{words}: {found:#?}");
        };
        assert!(message.contains(words), "{words}: {message}");
        assert_eq!(found, verdict, "{message}");
    }
}

/// The refusal of a document, as the command shows it.
fn refusal(new: &Value) -> String {
    diff(&base(), new, &References::none())
        .unwrap_err()
        .in_file("old.yaml", "new.yaml")
        .to_string()
}

#[test]
fn bad_input_gets_one_error_with_place_and_remedy() {
    let mut deep = json!({});
    for _ in 0..110 {
        deep = json!({"items": deep});
    }
    let mut chain = serde_json::Map::new();
    for level in 0..150 {
        let next = format!("#/components/schemas/s{}", level + 1);
        chain.insert(format!("s{level}"), json!({"allOf": [{"$ref": next}]}));
    }
    chain.insert("s150".to_owned(), json!({}));
    let mut doubling = serde_json::Map::new();
    for level in 0..40 {
        let next = json!({"$ref": format!("#/components/schemas/s{}", level + 1)});
        doubling.insert(format!("s{level}"), json!({"allOf": [next, next]}));
    }
    doubling.insert("s40".to_owned(), json!({"type": "string"}));
    let with = |schema: Value, components: Value| {
        let mut document = edited(&[]);
        *document
            .pointer_mut(&full("{reply}/properties/id"))
            .unwrap() = schema;
        for (name, schema) in components.as_object().unwrap() {
            document["components"]["schemas"][name] = schema.clone();
        }
        document
    };
    let to = |name: &str| json!({"$ref": format!("#/components/schemas/{name}")});
    let cases = [
        ("no mapping", json!([])),
        ("no openapi", json!({"paths": {}})),
        ("swagger", json!({"swagger": "2.0", "paths": {}})),
        ("version not a string", json!({"openapi": 3.0, "paths": {}})),
        ("too new", json!({"openapi": "4.0.0", "paths": {}})),
        ("no paths", json!({"openapi": "3.0.0"})),
        (
            "paths not a mapping",
            json!({"openapi": "3.0.0", "paths": []}),
        ),
        ("too deep", with(deep, json!({}))),
        ("missing", with(to("nobody"), json!({}))),
        (
            "external",
            with(json!({"$ref": "far.yaml#/key"}), json!({})),
        ),
        (
            "reference not a string",
            with(json!({"$ref": 1}), json!({})),
        ),
        (
            "a reference to itself",
            with(to("a"), json!({"a": to("b"), "b": to("a")})),
        ),
        (
            "a branch that is itself",
            with(to("a"), json!({"a": {"allOf": [to("a")]}})),
        ),
        ("a chain without end", with(to("s0"), Value::Object(chain))),
        (
            "branches that multiply",
            with(to("s0"), Value::Object(doubling)),
        ),
        (
            "schema not a mapping",
            edited(&[("{reply}/properties", "{id: [x]}")]),
        ),
        (
            "parameters not a list",
            edited(&[("{cut}/parameters", "{}")]),
        ),
        (
            "an operation that is none",
            edited(&[("/paths/~1keys/post", "3")]),
        ),
        (
            "a body that is none",
            edited(&[("{cut}/requestBody", "[]")]),
        ),
    ];
    let told: String = cases
        .iter()
        .map(|(name, document)| format!("== {name}\n{}\n", refusal(document)))
        .collect();
    insta::assert_snapshot!("diff_refusals", told);
}

/// Whatever is put in place of a node, the answer is a report or an error.
#[test]
fn no_node_exchanged_for_another_kind_makes_it_panic() {
    fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
        found.push(at.to_owned());
        match value {
            Value::Object(members) => {
                for (key, value) in members {
                    let key = key.replace('~', "~0").replace('/', "~1");
                    pointers(value, &format!("{at}/{key}"), found);
                }
            }
            Value::Array(list) => {
                for (index, value) in list.iter().enumerate() {
                    pointers(value, &format!("{at}/{index}"), found);
                }
            }
            _ => {}
        }
    }
    let mut all = Vec::new();
    pointers(&base(), "", &mut all);
    for pointer in all {
        for value in [
            json!(null),
            json!(-1.5),
            json!("é{"),
            json!([[]]),
            json!({}),
            json!({"$ref": "#"}),
            json!({"$ref": "#/components/schemas/Key"}),
        ] {
            let mut document = base();
            *document.pointer_mut(&pointer).unwrap() = value;
            for (old, new) in [(&base(), &document), (&document, &base())] {
                let _ = diff(old, new, &References::none());
            }
        }
    }
}

#[test]
fn schemas_that_hold_each_other_come_to_an_end() {
    let knot = |leaf: &str| {
        let mut document = base();
        for level in 0..60 {
            let next = json!({"$ref": format!("#/components/schemas/k{}", (level + 1) % 60)});
            let far = json!({"$ref": format!("#/components/schemas/k{}", (level * 7 + 3) % 60)});
            document["components"]["schemas"][format!("k{level}")] = json!({
                "type": "object",
                "properties": {"next": next, "far": far, "many": {"type": "array", "items": {"oneOf": [next, far]}}, "leaf": {"type": leaf}},
            });
        }
        document["components"]["schemas"]["Key"] = json!({"$ref": "#/components/schemas/k0"});
        document
    };
    assert!(report(&knot("string"), &knot("string")).changes.is_empty());
    let changed = report(&knot("string"), &knot("integer"));
    assert!(changed.count(Class::Breaking) >= 60);
}

#[test]
fn a_branch_in_a_file_that_is_not_at_hand_is_left_out_and_reported() {
    let document = edited(&[(
        "{reply}/properties/id",
        "{allOf: [{$ref: 'https://keys.example/far/id.yaml'}, {type: integer}]}",
    )]);
    let report = report(&base(), &document);
    assert!(report.changes.is_empty(), "{}", report.text());
    assert_eq!(report.notes.len(), 1);
    assert!(report.notes[0].contains("--refs"), "{}", report.notes[0]);
}

#[test]
fn a_file_beside_is_read_from_the_folder_and_shown_by_its_reference() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("models")).unwrap();
    std::fs::write(
        folder.path().join("models/id.yaml"),
        "Id: {$ref: '../parts/number.yaml'}\n",
    )
    .unwrap();
    std::fs::create_dir(folder.path().join("parts")).unwrap();
    std::fs::write(folder.path().join("parts/number.yaml"), "type: string\n").unwrap();
    std::fs::write(folder.path().join("unused.yaml"), "a: [").unwrap();
    let references = References::read(folder.path()).unwrap();
    let new = edited(&[(
        "{reply}/properties/id",
        "{$ref: 'https://keys.example/models/id.yaml#/Id'}",
    )]);
    let report = diff(&base(), &new, &references).unwrap();
    let pointers: Vec<&str> = report
        .changes
        .iter()
        .map(|it| it.pointer.as_str())
        .collect();
    assert_eq!(pointers, [full("{reply}/properties/id")]);
    let lost = edited(&[("{reply}/properties/id", "{$ref: 'models/ids.yaml#/Id'}")]);
    let error = diff(&base(), &lost, &references).unwrap_err();
    assert!(
        error.finding.message.contains("none of the files"),
        "{error:?}"
    );
}

#[test]
fn the_command_prints_the_report_and_fails_where_it_is_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, document: &Value| {
        let path = folder.path().join(name);
        std::fs::write(&path, document.to_string()).unwrap();
        path
    };
    let old = write("old.json", &base());
    let new = write("new.json", &edited(&[("{cut}/operationId", "gone")]));
    let run = |old: &Path, new: &Path, more: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
            .arg("diff")
            .args([old, new])
            .args(more)
            .output()
            .unwrap();
        (
            output.status.code().unwrap(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, out, _) = run(&old, &new, &[]);
    assert_eq!(code, 0);
    assert!(out.contains("1 breaking"), "{out}");
    let (code, out, error) = run(&old, &new, &["--format", "json", "--fail-on", "breaking"]);
    assert_eq!(code, 1);
    assert!(serde_json::from_str::<Value>(&out).is_ok(), "{out}");
    assert!(error.contains("1 change is breaking"), "{error}");
    let (code, out, _) = run(
        &old,
        &old,
        &["--format", "markdown", "--fail-on", "breaking"],
    );
    assert_eq!(code, 0);
    assert!(out.contains("No change."), "{out}");
    let (code, out, error) = run(&old, &folder.path().join("nobody.yaml"), &[]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(error.contains("there is no such file"), "{error}");
}

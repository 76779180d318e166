//! A short run over documents that are broken on purpose, and what such runs and the fuzzer have found, each by name.
//! Deep nesting, cycles and documents that unfold are refused early, with their place and in bounded memory.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers as well"
)]

use std::path::Path;
use std::time::{Duration, Instant};

use xtask::mutate::{self, Outcome, Plan, Setting, trial};
use xtask::overlay::Overlay;
use xtask::resolve::Folder;
use xtask::{generate, import, load};

const HEAD: &str = "openapi: 3.0.3\ninfo: {title: A made-up service, version: '1'}\n";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// A document with one operation whose reply is `schema`, and with `components`.
fn with_schema(schema: &str, components: &str) -> String {
    format!(
        "{HEAD}paths:\n  /keys:\n    get:\n      tags: [Auth]\n      operationId: get-keys\n      responses:\n        \
         200: {{description: Found, content: {{application/json: {{schema: {schema}}}}}}}\n\
         components: {{schemas: {components}}}\n"
    )
}

fn reference(name: &str) -> String {
    format!("{{$ref: '#/components/schemas/{name}'}}")
}

/// A reply with `count` fields that all are the schema `big`.
fn referring(count: usize, big: &str) -> String {
    let fields: Vec<String> = (0..count)
        .map(|index| format!("p{index}: {}", reference("big")))
        .collect();
    with_schema(
        &format!("{{type: object, properties: {{{}}}}}", fields.join(", ")),
        &format!("{{big: {big}}}"),
    )
}

/// The error of importing and generating from `text`.
fn refusal(text: &str) -> String {
    let source = load::source("vendor.yaml".to_owned(), text.into()).unwrap();
    import::import(&source, &Folder::none())
        .and_then(|imported| {
            generate::generate(imported.document, "vendor.yaml", &Overlay::none(), false)
        })
        .map(|generated| generated.client.len())
        .unwrap_err()
        .to_string()
}

/// That `text` is refused in time and memory, in words that hold each of `expected`.
fn is_refused(text: &str, expected: &[&str]) {
    let start = Instant::now();
    let error = refusal(text);
    for part in expected {
        assert!(error.contains(part), "no `{part}` in: {error}");
    }
    assert!(error.contains("remedy: "), "{error}");
    assert!(start.elapsed() < Duration::from_secs(10), "too slow");
    if let Some(memory) = mutate::peak_memory() {
        assert!(memory < 512 * 1024, "{memory} KiB");
    }
}

// ---- a short run -------------------------------------------------------------------------------------------------

fn plan(count: usize, seed: u64, threads: usize) -> Plan {
    Plan {
        count,
        seed,
        folders: vec![root().join("xtask/tests/fixtures")],
        only: None,
        threads,
    }
}

#[test]
fn broken_fixtures_end_in_code_or_a_clear_error() {
    let summary = mutate::run(root(), &plan(300, 20, 2)).unwrap();
    assert!(summary.passed(), "{}", summary.text());
    assert_eq!(summary.tried, 300);
    let generated = summary.outcomes[&Outcome::Generated];
    assert!(
        (50..250).contains(&generated),
        "too tame or too wild: {}",
        summary.text()
    );
    assert!(summary.outcomes.len() > 5, "{}", summary.text());
}

#[test]
fn the_number_of_threads_makes_no_difference() {
    let one = mutate::run(root(), &plan(60, 3, 1)).unwrap();
    let three = mutate::run(root(), &plan(60, 3, 3)).unwrap();
    assert_eq!(one.outcomes, three.outcomes);
    assert_eq!(one.failures, three.failures);
}

#[test]
fn a_folder_without_documents_is_an_error() {
    let empty = tempfile::tempdir().unwrap();
    let plan = Plan {
        folders: vec![empty.path().to_owned()],
        ..plan(1, 1, 1)
    };
    let error = mutate::run(root(), &plan).unwrap_err().to_string();
    assert!(error.contains("holds no document"), "{error}");
}

#[test]
fn what_the_fuzzer_starts_from_is_generated() {
    let overlay = Overlay::none();
    let setting = Setting {
        overlay: &overlay,
        unbroken: None,
    };
    for name in ["small.yaml", "newer.json", "forms.yaml"] {
        let file = root().join("xtask/fuzz/corpus/document").join(name);
        let bytes = std::fs::read(file).unwrap();
        assert_eq!(trial(bytes, &setting), Ok(Outcome::Generated), "{name}");
    }
}

// ---- deep, round and unfolding -----------------------------------------------------------------------------------

#[test]
fn deep_nesting_is_refused_in_yaml_and_in_json() {
    let flow = format!(
        "{HEAD}paths: {}{}",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    is_refused(&flow, &["vendor.yaml:3:", "is not YAML"]);
    let lines: String = (0..2000)
        .map(|depth| format!("{}a:\n", " ".repeat(depth)))
        .collect();
    is_refused(&lines, &["vendor.yaml:", "is not YAML"]);
    let json = "{\"a\":".repeat(1_000_000);
    is_refused(&json, &["vendor.yaml:1:", "is not JSON"]);
    // As deep as JSON may be, and too deep for a document.
    let items = format!("{}{{}}{}", "{\"items\":".repeat(110), "}".repeat(110));
    let json = format!(
        "{{\"openapi\":\"3.0.3\",\"info\":{{\"title\":\"t\",\"version\":\"1\"}},\"paths\":{{\"/a\":{{\"get\":{{\
         \"tags\":[\"Auth\"],\"operationId\":\"a\",\"responses\":{{\"200\":{{\"description\":\"d\",\"content\":{{\
         \"application/json\":{{\"schema\":{items}}}}}}}}}}}}}}}}}"
    );
    is_refused(
        &json,
        &["/paths/~1a/get/responses/200/", "nests more than 100 deep"],
    );
}

#[test]
fn cycles_of_references_are_refused() {
    let hen = format!("{{hen: {}, egg: {}}}", reference("egg"), reference("hen"));
    is_refused(
        &with_schema(&reference("hen"), &hen),
        &["/components/schemas/egg/$ref", "a cycle of references"],
    );
    let inside = format!(
        "{{hen: {{type: object, properties: {{egg: {{type: array, items: {}}}}}}}}}",
        reference("hen")
    );
    is_refused(
        &with_schema(&reference("hen"), &inside),
        &[
            "/components/schemas/hen/properties/egg/items/$ref",
            "a cycle of references",
        ],
    );
    let here = "#/paths/~1keys/get/responses/200/content/application~1json/schema";
    is_refused(
        &with_schema(&format!("{{$ref: '{here}'}}"), "{}"),
        &["a cycle of references"],
    );
}

#[test]
fn a_long_chain_of_references_is_refused() {
    let links: Vec<String> = (0..20_000)
        .map(|index| format!("c{index}: {}", reference(&format!("c{}", index + 1))))
        .collect();
    is_refused(
        &with_schema(&reference("c0"), &format!("{{{}}}", links.join(", "))),
        &[
            "/components/schemas/c100/$ref",
            "a chain of more than 100 references",
        ],
    );
}

#[test]
fn aliases_that_unfold_are_refused() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..30 {
        let before = format!("*a{}, ", level - 1).repeat(10);
        bomb.push_str(&format!("a{level}: &a{level} [{before}]\n"));
    }
    is_refused(&bomb, &["vendor.yaml:6:", "alias replay limit"]);
    let text = format!(
        "a: &a {}\nb: [{}]\n",
        "x".repeat(1_000_000),
        ["*a"; 5000].join(", ")
    );
    is_refused(&text, &["vendor.yaml:1:", "is not YAML"]);
}

#[test]
fn references_that_unfold_are_refused() {
    // Two kilobytes that are thirty thousand nodes, and more with each line.
    for levels in [13, 16, 40] {
        let mut schemas = "s0: {type: string}".to_owned();
        for level in 1..levels {
            let before = reference(&format!("s{}", level - 1));
            schemas.push_str(&format!(
                ", s{level}: {{type: object, properties: {{a: {before}, b: {before}}}}}"
            ));
        }
        let document = with_schema(
            &reference(&format!("s{}", levels - 1)),
            &format!("{{{schemas}}}"),
        );
        is_refused(
            &document,
            &["/components/schemas/s", "references unfold to more than"],
        );
    }
}

#[test]
fn references_to_what_is_large_are_refused() {
    let values: Vec<String> = (0..100_000).map(|index| format!("v{index}")).collect();
    let values = values.join(", ");
    let text = "x".repeat(1_000_000);
    for (big, place) in [
        (format!("{{type: string, enum: [{values}]}}"), "enum"),
        (format!("{{type: string, example: [{values}]}}"), "example"),
        (format!("{{type: string, pattern: {text}}}"), "pattern"),
        (
            format!("{{type: string, description: {text}}}"),
            "description",
        ),
    ] {
        let place = format!("/components/schemas/big/{place}: references unfold");
        is_refused(&referring(2000, &big), &[&place]);
    }
    // Paths that are not taken are looked at all the same.
    let paths: String = (0..3000)
        .map(|index| format!("  /r{index}: {{$ref: '#/components/x/big'}}\n"))
        .collect();
    is_refused(
        &format!(
            "{HEAD}paths:\n{paths}components: {{x: {{big: {{get: {{tags: [Orders], e: [{values}]}}}}}}}}\n"
        ),
        &["/paths/~1r", "/$ref: references unfold"],
    );
}

// ---- what runs have found ----------------------------------------------------------------------------------------

fn with_operation(path: &str, rest: &str) -> String {
    format!("{HEAD}paths:\n  {path}: {{get: {{tags: [Auth], operationId: get-a, {rest}}}}}\n")
}

const FOUND: &str = "responses: {200: {description: Found}}";

#[test]
fn a_success_status_that_is_not_registered_has_no_method() {
    is_refused(
        &with_operation("/a", "responses: {220: {description: Found}}"),
        &["/paths/~1a/get/responses/220: [unknown-status]"],
    );
}

#[test]
fn braces_that_do_not_pair_are_refused_in_paths_and_servers() {
    for path in ["/}{", "/{a", "/a}", "/{}", "/{{a}}"] {
        is_refused(
            &with_operation(&format!("'{path}'"), FOUND),
            &["/get: [path-template]"],
        );
    }
    for url in ["/{", "https://h/a}{b", "https://h/{}"] {
        is_refused(
            &format!(
                "{}servers: [{{url: '{url}'}}]\n",
                with_operation("/a", FOUND)
            ),
            &["/servers/0/url: [shape] has braces that do not pair"],
        );
    }
}

#[test]
fn a_server_variable_without_a_text_is_refused() {
    for variable in ["{}", "{default: 5}", "{default: a, enum: [1]}"] {
        is_refused(
            &format!(
                "{}servers: [{{url: 'https://h/{{v}}', variables: {{v: {variable}}}}}]\n",
                with_operation("/a", FOUND)
            ),
            &["/servers/0/variables/v: [shape]"],
        );
    }
}

#[test]
fn scopes_that_are_no_names_are_refused() {
    is_refused(
        &with_operation("/a", &format!("security: [{{Key: [{{}}]}}], {FOUND}")),
        &["/paths/~1a/get/security/0: [shape]"],
    );
}

#[test]
fn a_reply_header_without_a_schema_is_refused() {
    is_refused(
        &with_operation(
            "/a",
            "responses: {200: {description: d, headers: {X-A: {description: d}}}}",
        ),
        &["/paths/~1a/get/responses/200/headers/X-A: [shape] has no `schema`"],
    );
}

#[test]
fn a_scheme_that_lacks_what_its_type_needs_is_refused() {
    for scheme in ["{type: apiKey, in: header}", "{type: unheard-of}"] {
        let used = format!("security: [{{Key: []}}], {FOUND}");
        is_refused(
            &format!(
                "{}components: {{securitySchemes: {{Key: {scheme}}}}}\n",
                with_operation("/a", &used)
            ),
            &["/components/securitySchemes/Key: [shape] cannot be read"],
        );
    }
}

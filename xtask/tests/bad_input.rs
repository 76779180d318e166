//! Input that cannot be imported: each gives one error with file, place and remedy, and none a panic.
//! The command line adds exit code 1 and leaves the tree as it was.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers as well"
)]

use std::path::Path;
use std::process::Command;

use xtask::resolve::Folder;
use xtask::{import, load};

const HEAD: &str = "openapi: 3.0.3\ninfo: {title: A made-up service, version: '1'}\n";

/// The error of importing `text`.
fn refusal(text: impl Into<Vec<u8>>) -> String {
    let error = load::source("vendor.yaml".to_owned(), text.into())
        .and_then(|source| import::import(&source, &Folder::none()))
        .map(|imported| imported.document)
        .unwrap_err();
    error.to_string()
}

/// A document with one operation whose reply is `schema`, and with `components`.
fn with_schema(schema: &str, components: &str) -> String {
    format!(
        "{HEAD}paths:\n  /keys:\n    get:\n      tags: [Auth]\n      operationId: get-keys\n      responses:\n        \
         200: {{description: Found, content: {{application/json: {{schema: {schema}}}}}}}\n\
         components: {{schemas: {components}}}\n"
    )
}

/// The same in OpenAPI 3.1.
fn newer(schema: &str) -> Vec<u8> {
    with_schema(schema, "{}")
        .replace("3.0.3", "3.1.0")
        .into_bytes()
}

/// Schemas that each nest a little and lead to the next.
fn nesting() -> String {
    let mut schemas = "n60: {type: string}".to_owned();
    for level in 0..60 {
        let next = format!("{{$ref: '#/components/schemas/n{}'}}", level + 1);
        schemas.push_str(&format!(
            ", n{level}: {{type: array, items: {{type: array, items: {next}}}}}"
        ));
    }
    format!("{{{schemas}}}")
}

#[test]
fn each_refusal_reads_like_help() {
    let deep = format!("{}{}", "[".repeat(3000), "]".repeat(3000));
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..10 {
        let before = format!("*a{}, ", level - 1).repeat(10);
        bomb.push_str(&format!("a{level}: &a{level} [{before}]\n"));
    }
    let mut multiplying =
        "leaf: {type: string}, s0: {$ref: '#/components/schemas/leaf'}".to_owned();
    for level in 1..30 {
        let before = format!("{{$ref: '#/components/schemas/s{}'}}", level - 1);
        multiplying.push_str(&format!(
            ", s{level}: {{type: object, properties: {{a: {before}, b: {before}}}}}"
        ));
    }
    let mut multiplied = with_schema(
        "{$ref: '#/components/schemas/s29'}",
        &format!("{{{multiplying}}}"),
    );
    multiplied.push('\n');
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("not YAML", b"paths: [\n  unfinished".to_vec()),
        ("not YAML: a tab", b"paths:\n\t/keys: {}\n".to_vec()),
        (
            "a web page",
            b"<html>\n<body>Not found</body>\n</html>\n".to_vec(),
        ),
        ("not JSON", b"{\"paths\": {,}}".to_vec()),
        ("not UTF-8", b"openapi: 3.0.3 \xff".to_vec()),
        ("empty", Vec::new()),
        ("a text", b"just words".to_vec()),
        ("a list", b"- openapi\n".to_vec()),
        ("not OpenAPI", b"name: something else\n".to_vec()),
        ("Swagger 2", b"swagger: '2.0'\npaths: {}\n".to_vec()),
        ("OpenAPI 3.2", b"openapi: 3.2.0\npaths: {}\n".to_vec()),
        ("OpenAPI 3.1 without paths", b"openapi: 3.1.0\ninfo: {}\nwebhooks: {}\n".to_vec()),
        (
            "OpenAPI 3.1: a condition",
            newer("{properties: {a: {if: {type: string}, then: {maxLength: 3}}}}"),
        ),
        (
            "OpenAPI 3.1: a list of places",
            newer("{type: array, prefixItems: [{type: string}, {type: integer}]}"),
        ),
        (
            "OpenAPI 3.1: a field that must not be",
            newer("{properties: {a: false}}"),
        ),
        (
            "OpenAPI 3.1: what follows a reference",
            newer("{$dynamicRef: '#here'}"),
        ),
        ("OpenAPI 3.1: a type that is none", newer("{type: [string, 3]}")),
        ("unquoted version", b"openapi: 3.0\npaths: {}\n".to_vec()),
        ("no paths", HEAD.as_bytes().to_vec()),
        ("paths as a list", format!("{HEAD}paths: []\n").into_bytes()),
        ("no operations", format!("{HEAD}paths: {{}}\n").into_bytes()),
        (
            "no Authentication operations",
            format!(
                "{HEAD}paths: {{/a: {{get: {{tags: [Orders]}}, put: {{tags: [Carts, Orders]}}}}}}\n"
            )
            .into_bytes(),
        ),
        (
            "broken reference",
            with_schema("{$ref: '#/components/schemas/none'}", "{}").into_bytes(),
        ),
        (
            "reference that is no string",
            with_schema("{$ref: 5}", "{}").into_bytes(),
        ),
        (
            "cycle",
            with_schema(
                "{$ref: '#/components/schemas/egg'}",
                "{egg: {type: object, properties: {in: {$ref: '#/components/schemas/hen'}}}, \
                 hen: {type: array, items: {$ref: '#/components/schemas/egg'}}}",
            )
            .into_bytes(),
        ),
        (
            "cycle of one",
            with_schema(
                "{$ref: '#/components/schemas/me'}",
                "{me: {$ref: '#/components/schemas/me'}}",
            )
            .into_bytes(),
        ),
        (
            "reference to another file",
            with_schema("{$ref: 'https://made-up.example.com/a/key.yaml'}", "{}").into_bytes(),
        ),
        (
            "reference by address",
            with_schema("{$ref: 'file:///etc/key.yaml#/a'}", "{}").into_bytes(),
        ),
        (
            "parameter in another file",
            format!("{HEAD}paths: {{/a: {{get: {{tags: [Auth], parameters: [{{$ref: ../p.yaml}}]}}}}}}\n").into_bytes(),
        ),
        (
            "reference past the end of a list",
            with_schema("{$ref: '#/components/schemas/a/allOf/7'}", "{a: {allOf: [{}]}}").into_bytes(),
        ),
        (
            "references that nest",
            with_schema("{$ref: '#/components/schemas/n0'}", &nesting()).into_bytes(),
        ),
        (
            "alias of itself",
            format!("{HEAD}paths: &all\n  /a: *all\n").into_bytes(),
        ),
        ("alias of nothing", format!("{HEAD}paths: *none\n").into_bytes()),
        (
            "two operations at one address",
            format!(
                "{HEAD}paths: {{/api/io/a: {{get: {{tags: [Auth]}}}}, /api/v3/io/a: {{get: {{tags: [Auth]}}}}}}\n"
            )
            .into_bytes(),
        ),
        (
            "schema that is a text",
            with_schema("words", "{}").into_bytes(),
        ),
        (
            "properties as a list",
            with_schema("{properties: [a]}", "{}").into_bytes(),
        ),
        (
            "allOf as a mapping",
            with_schema("{allOf: {a: b}}", "{}").into_bytes(),
        ),
        (
            "enums without a common value",
            with_schema(
                "{allOf: [{type: string, enum: [a]}, {type: string, enum: [b]}]}",
                "{}",
            )
            .into_bytes(),
        ),
        (
            "key twice in YAML",
            format!("{HEAD}paths:\n  /a: {{}}\n  /b: {{}}\n  /a: {{}}\n").into_bytes(),
        ),
        (
            "key twice in JSON",
            b"{\"openapi\": \"3.0.3\",\n \"paths\": {}, \"paths\": {}}".to_vec(),
        ),
        (
            "key twice once unquoted",
            b"responses:\n  200: a\n  '200': b\n".to_vec(),
        ),
        (
            "nested too deep in YAML",
            format!("paths: {deep}").into_bytes(),
        ),
        (
            "nested too deep by indentation",
            (0..500)
                .map(|depth| format!("{}a:\n", " ".repeat(depth)))
                .collect::<String>()
                .into_bytes(),
        ),
        (
            "nested too deep in JSON",
            format!("{{\"paths\": {deep}}}").into_bytes(),
        ),
        ("aliases that multiply", bomb.into_bytes()),
        ("references that multiply", multiplied.into_bytes()),
        (
            "two documents",
            b"openapi: 3.0.3\n---\nopenapi: 3.0.3\n".to_vec(),
        ),
    ];
    let text: String = cases
        .into_iter()
        .map(|(name, text)| format!("-- {name}\n{}\n", refusal(text)))
        .collect();
    insta::assert_snapshot!("refusals", text);
}

#[test]
fn a_file_that_is_not_there_a_directory_and_a_file_too_large() {
    let folder = tempfile::tempdir().unwrap();
    let absent = load::read(Path::new("no/such/file.yaml")).unwrap_err();
    let directory = load::read(Path::new("src")).unwrap_err();
    let large = folder.path().join("large.yaml");
    std::fs::File::create(&large)
        .unwrap()
        .set_len(17 * 1024 * 1024)
        .unwrap();
    let large = load::read(&large).unwrap_err().to_string();
    let large = large.replace(&folder.path().display().to_string(), "FOLDER");
    insta::assert_snapshot!("unreadable", format!("{absent}\n{directory}\n{large}"));
}

#[test]
fn the_command_exits_with_1_and_leaves_the_tree_as_it_was() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let before: Vec<String> = [import::DOCUMENT, import::PROVENANCE]
        .iter()
        .map(|path| std::fs::read_to_string(root.join(path)).unwrap())
        .collect();
    for arguments in [
        &["import", "no/such/file.yaml"][..],
        &["import", "."],
        &["import", "Cargo.toml"],
        &["import", "tests/fixtures/merged.yaml", "--check"],
        &[
            "generate",
            "--spec",
            "Cargo.toml",
            "--out-dir",
            "no/such/folder",
        ],
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
            .args(arguments)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {error}");
        assert!(
            error.starts_with("error: ") && error.contains("remedy: "),
            "{error}"
        );
        assert!(!error.contains("panicked"), "{error}");
    }
    let after: Vec<String> = [import::DOCUMENT, import::PROVENANCE]
        .iter()
        .map(|path| std::fs::read_to_string(root.join(path)).unwrap())
        .collect();
    assert_eq!(before, after);
    assert!(!Path::new(env!("CARGO_MANIFEST_DIR")).join("no").exists());
}

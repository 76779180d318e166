//! One fixture document for each thing that real documents do, and a snapshot of what becomes of it.
//! A snapshot shows the passes that changed something, the imported document, and the document that the generator saw.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers as well"
)]

use std::path::Path;

use xtask::canonical::to_yaml;
use xtask::error::Error;
use xtask::load::Source;
use xtask::overlay::Overlay;
use xtask::resolve::Folder;
use xtask::{generate, import, load};

fn fixture(name: &str) -> Source {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name);
    let mut source = load::read(&path).unwrap();
    source.name = name.to_owned();
    source
}

/// What becomes of a fixture, in words.
fn story(name: &str) -> String {
    let imported = import::import(&fixture(name), &Folder::none()).unwrap();
    let document = to_yaml(name, "", &imported.document).unwrap();
    let mut report = imported.report;
    let outcome = generate::generate(imported.document, name, &Overlay::none(), false);
    let (seen, code) = match outcome {
        Ok(generated) => {
            report.extend(generated.report);
            let seen = to_yaml(name, "", &generated.document).unwrap();
            syn::parse_file(&generated.mocks).unwrap();
            (seen, surface(&generated.client))
        }
        Err(error) => (format!("refused: {error}\n"), String::new()),
    };
    let passes: String = report
        .iter()
        .filter(|pass| pass.changes.count + pass.changes.notes.len() > 0)
        .map(|pass| {
            let notes: String = pass
                .changes
                .notes
                .iter()
                .map(|note| format!("    {note}\n"))
                .collect();
            format!("{} {}\n{notes}", pass.changes.count, pass.name)
        })
        .collect();
    format!(
        "== passes\n{passes}== imported\n{document}== as the generator saw it\n{seen}== generated\n{code}"
    )
}

/// The types with their fields, the methods without their bodies, the table of operations, and the fields of calls.
fn surface(client: &str) -> String {
    let mut file = syn::parse_file(client).unwrap();
    let mut items = Vec::new();
    for item in file.items {
        match item {
            syn::Item::Mod(module) if module.ident == "types" => {
                let inside = module.content.unwrap().1;
                items.extend(inside.into_iter().filter(|item| {
                    matches!(
                        item,
                        syn::Item::Struct(_) | syn::Item::Enum(_) | syn::Item::Type(_)
                    )
                }));
            }
            syn::Item::Impl(mut item) if item.trait_.is_none() => {
                item.attrs.clear();
                item.items.retain_mut(|item| match item {
                    syn::ImplItem::Fn(function) => {
                        function.attrs.clear();
                        function.block.stmts.clear();
                        function.sig.asyncness.is_some()
                    }
                    _ => false,
                });
                if !item.items.is_empty() {
                    items.push(syn::Item::Impl(item));
                }
            }
            syn::Item::Mod(module) if module.ident == "operations" => {
                items.push(syn::Item::Mod(module));
            }
            syn::Item::Mod(mut module) if module.ident == "calls" => {
                let inside = &mut module.content.as_mut().unwrap().1;
                inside.retain(|item| matches!(item, syn::Item::Struct(_)));
                items.push(syn::Item::Mod(module));
            }
            _ => {}
        }
    }
    file.attrs.clear();
    file.items = items;
    prettyplease::unparse(&file)
}

macro_rules! quirks {
    ($($name:ident: $file:literal,)*) => {
        $(
            #[test]
            fn $name() {
                insta::assert_snapshot!(stringify!($name), story($file));
            }
        )*

        #[test]
        fn every_fixture_has_its_test() {
            let mut tested = vec![$($file.to_owned()),*];
            tested.sort();
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
            let mut there: Vec<String> = std::fs::read_dir(folder)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .filter(|name| name.ends_with(".yaml"))
                .collect();
            there.sort();
            assert_eq!(tested, there);
        }
    };
}

quirks! {
    allof_disagreements: "allof-disagreements.yaml",
    allof_envelope: "allof-envelope.yaml",
    arguments: "arguments.yaml",
    base_paths: "base-paths.yaml",
    closed_values: "closed-values.yaml",
    defaults: "defaults.yaml",
    deprecated: "deprecated.yaml",
    examples: "examples.yaml",
    header_credentials: "header-credentials.yaml",
    merged: "merged.yaml",
    name_collisions: "name-collisions.yaml",
    nullable: "nullable.yaml",
    numbers: "numbers.yaml",
    openapi_3_1: "openapi-3-1.yaml",
    parameters: "parameters.yaml",
    references: "references.yaml",
    required: "required.yaml",
    secrets: "secrets.yaml",
    security: "security.yaml",
    several_replies: "several-replies.yaml",
    two_inline_replies: "two-inline-replies.yaml",
    two_media_types: "two-media-types.yaml",
    untagged: "untagged.yaml",
    untyped: "untyped.yaml",
    yaml_forms: "yaml-forms.yaml",
}

#[test]
fn byte_order_mark_line_ends_and_json_make_no_difference() {
    let plain = fixture("closed-values.yaml");
    let expected = import::import(&plain, &Folder::none()).unwrap().document;
    let json = serde_json::to_string_pretty(&load::parse(&plain).unwrap()).unwrap();
    for text in [
        format!("\u{feff}{}", plain.text),
        plain.text.replace('\n', "\r\n"),
        json.clone(),
        format!("\u{feff}\t{json}"),
    ] {
        let other = load::source("other".to_owned(), text.into_bytes()).unwrap();
        assert_eq!(
            import::import(&other, &Folder::none()).unwrap().document,
            expected
        );
    }
}

#[test]
fn what_was_imported_imports_as_itself() {
    for name in ["allof-envelope.yaml", "merged.yaml", "several-replies.yaml"] {
        let once = import::import(&fixture(name), &Folder::none())
            .unwrap()
            .document;
        let mut again = once.clone();
        // The tag is gone with the prose, so this says that the operations are still ours.
        for item in again["paths"].as_object_mut().unwrap().values_mut() {
            for operation in item.as_object_mut().unwrap().values_mut() {
                operation["tags"] = serde_json::json!(["Auth"]);
            }
        }
        let text = to_yaml(name, "", &again).unwrap();
        let source = load::source(name.to_owned(), text.into_bytes()).unwrap();
        assert_eq!(
            import::import(&source, &Folder::none()).unwrap().document,
            once,
            "{name}"
        );
    }
}

#[test]
fn a_reference_to_another_file_is_taken_from_the_folder_by_its_longest_end() {
    let folder =
        Folder::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/refs")).unwrap();
    let text = r##"
openapi: 3.0.0
info: { title: A made-up service, version: "1" }
paths:
  /keys:
    get:
      tags: [Auth]
      operationId: get-keys
      responses:
        "200":
          description: Found
          content:
            application/json:
              schema: { $ref: "https://made-up.example.com/files/models/near/key.yaml" }
"##;
    let source = load::source("made-up.yaml".to_owned(), text.as_bytes().to_vec()).unwrap();
    let imported = import::import(&source, &folder).unwrap();
    let names: Vec<&String> =
        imported.document["components"]["schemas"]["GetKeysResponse200"]["properties"]
            .as_object()
            .unwrap()
            .keys()
            .collect();
    assert_eq!(names, ["near", "size"]);
    let far = text.replace("models/near/key.yaml", "key.yaml");
    let source = load::source("made-up.yaml".to_owned(), far.into_bytes()).unwrap();
    let error: Error = import::import(&source, &folder).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("fits several files: far/key.yaml, near/key.yaml"),
        "{error}"
    );
}

const WITH_ANOTHER_FILE: &str = r##"
openapi: 3.0.0
info: { title: A made-up service, version: "1" }
paths:
  /keys:
    get:
      tags: [Auth]
      operationId: get-keys
      responses:
        "200":
          description: Found
          content:
            application/json:
              schema:
                allOf:
                  - $ref: ../../models/near/envelope.yaml
                  - type: object
                    properties: { label: { type: string } }
"##;

#[test]
fn a_branch_in_another_file_is_taken_from_the_folder_or_left_out_and_reported() {
    let source = load::source(
        "made-up.yaml".to_owned(),
        WITH_ANOTHER_FILE.as_bytes().to_vec(),
    )
    .unwrap();
    let fields = |folder: &Folder| {
        let imported = import::import(&source, folder).unwrap();
        let schema = &imported.document["components"]["schemas"]["GetKeysResponse200"];
        let fields: Vec<String> = schema["properties"]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect();
        (fields, imported.report[0].changes.notes.clone())
    };
    let (without, notes) = fields(&Folder::none());
    assert_eq!(without, ["label"]);
    assert_eq!(
        notes,
        [
            "/paths/~1keys/get/responses/200/content/application~1json/schema/allOf/0: \
          branch `../../models/near/envelope.yaml` left out; give its folder with --refs"
        ]
    );
    let folder =
        Folder::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/refs")).unwrap();
    // The file leads on to its neighbour, of whose name there are two in the folder.
    let (with, notes) = fields(&folder);
    assert_eq!(with, ["key", "label"]);
    assert_eq!(notes, [""; 0]);
}

#[test]
fn what_a_folder_has_not_or_cannot_give_is_refused_by_name() {
    let folder =
        Folder::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/refs")).unwrap();
    for (name, message) in [
        (
            "../absent.yaml",
            "`../absent.yaml` is in none of the files of the --refs folder",
        ),
        (
            "broken.yaml",
            "leads to a file that cannot be taken: broken.yaml:2:13: is not YAML",
        ),
        (
            "near/key.yaml#/parts/none",
            "`near/key.yaml#/parts/none` leads nowhere",
        ),
    ] {
        let text = WITH_ANOTHER_FILE.replace("../../models/near/envelope.yaml", name);
        let source = load::source("made-up.yaml".to_owned(), text.into_bytes()).unwrap();
        let error = import::import(&source, &folder).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}

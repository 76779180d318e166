//! The checked-in files are what the pipeline makes of its input, the same bytes each time, and any change to them shows.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers as well"
)]

use std::path::Path;

use xtask::diff::{Class, Step, propose};
use xtask::error::Error;
use xtask::overlay::OVERLAY;
use xtask::provenance::Origin;
use xtask::{generate, import, load, write};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// A copy of what the pipeline reads and writes.
fn copy() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for path in [
        import::DOCUMENT,
        import::PROVENANCE,
        OVERLAY,
        generate::CLIENT,
        generate::MOCKS,
    ] {
        let target = folder.path().join(path);
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(root().join(path), target).unwrap();
    }
    folder
}

fn replace(folder: &Path, path: &str, from: &str, to: &str) {
    let path = folder.join(path);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{from} is not in {}", path.display());
    std::fs::write(path, text.replacen(from, to, 1)).unwrap();
}

#[test]
fn generated_files_are_what_generation_gives() {
    if let Err(error) = generate::run(root(), true) {
        panic!("{error}");
    }
}

#[test]
fn the_imported_document_is_in_canonical_form() {
    let text = std::fs::read_to_string(root().join(import::DOCUMENT)).unwrap();
    let header: String = text
        .lines()
        .take_while(|line| line.starts_with('#'))
        .map(|line| format!("{line}\n"))
        .collect();
    let source = load::source(import::DOCUMENT.to_owned(), text.clone().into_bytes()).unwrap();
    let document = load::parse(&source).unwrap();
    assert_eq!(
        xtask::canonical::to_yaml(import::DOCUMENT, &header, &document).unwrap(),
        text
    );
    for word in ["summary", "example", "title", "x-"] {
        let found = text.matches(&format!("{word}:")).count();
        assert_eq!(found, usize::from(word == "title"), "{word}");
    }
    let mut texts: Vec<&str> = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("description: "))
        .collect();
    texts.sort_unstable();
    texts.dedup();
    assert_eq!(texts, ["Bad Request", "Not Found", "OK", "Unauthorized"]);
}

#[test]
fn twice_gives_the_same_bytes() {
    let once = generate::from_tree(root()).unwrap();
    let twice = generate::from_tree(root()).unwrap();
    assert_eq!((once.client, once.mocks), (twice.client, twice.mocks));
}

#[test]
fn a_change_to_any_file_shows_in_the_check() {
    for (path, from, to, shown) in [
        (
            generate::CLIENT,
            "pub struct Client {",
            "pub struct Clients {",
            "-pub struct Clients {",
        ),
        (generate::MOCKS, "POST", "PUT", generate::MOCKS),
        (
            OVERLAY,
            "Mint a storefront token",
            "Make a storefront token",
            "+    /**Make a storefront token",
        ),
        (
            import::DOCUMENT,
            "customerId:",
            "buyerId:",
            "matches nothing",
        ),
        (
            import::DOCUMENT,
            "        endAt:",
            "        until:",
            "[undescribed] the field has no description",
        ),
        (
            OVERLAY,
            "      x-repeatable: false\n",
            "",
            "/paths/~1auth~1backend/post: [unstated] the operation has no `x-repeatable`",
        ),
        (
            OVERLAY,
            "x-absent-is-done: true",
            "x-absent-is-dun: true",
            "/paths/~1auth~1backend/delete/x-absent-is-dun: [extension]",
        ),
        (
            OVERLAY,
            "x-issued-token: [data, token]",
            "x-issued-token: [token]",
            "/x-issued-token: [missing-token] no success has the secret `token`",
        ),
        (
            OVERLAY,
            "x-sdk-name: delete_server_token",
            "x-sdk-name: create_server_token",
            "are both named `create_server_token`",
        ),
    ] {
        let folder = copy();
        replace(folder.path(), path, from, to);
        let error = generate::run(folder.path(), true).unwrap_err().to_string();
        assert!(error.contains(shown), "{path}: {error}");
        assert!(error.contains("remedy: "), "{error}");
    }
}

#[test]
fn a_missing_generated_file_is_stale_and_generation_brings_it_back() {
    let folder = copy();
    let path = folder.path().join(generate::CLIENT);
    let before = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(
        generate::run(folder.path(), true),
        Err(Error::Stale { .. })
    ));
    assert!(!path.exists(), "the check writes nothing");
    generate::run(folder.path(), false).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), before);
    let beside: Vec<_> = std::fs::read_dir(path.parent().unwrap()).unwrap().collect();
    assert_eq!(beside.len(), 1, "no temporary file is left: {beside:?}");
}

#[test]
fn import_writes_what_its_check_accepts_and_the_check_knows_the_checksum() {
    let folder = tempfile::tempdir().unwrap();
    let vendor = folder.path().join("vendor.yaml");
    let fixture =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/two-inline-replies.yaml");
    std::fs::copy(fixture, &vendor).unwrap();
    let origin = Origin {
        repository: Some("made-up/docs".to_owned()),
        commit: Some("0123abc".to_owned()),
        date: None,
    };
    let first = import::run(folder.path(), &vendor, None, origin, false).unwrap();
    assert_eq!(first.changes, None, "there is nothing to compare with yet");
    import::run(folder.path(), &vendor, None, Origin::default(), true).unwrap();
    // A change of prose leaves the document and changes the checksum.
    replace(
        folder.path(),
        "vendor.yaml",
        "description: Made",
        "description: Done",
    );
    let error = import::run(folder.path(), &vendor, None, Origin::default(), true).unwrap_err();
    let Error::Stale { diffs, command } = error else {
        panic!("{error}");
    };
    assert_eq!(diffs.len(), 1);
    assert!(
        diffs[0].contains("+sha256 = ") && diffs[0].contains("-sha256 = "),
        "{}",
        diffs[0]
    );
    assert!(
        command.starts_with("cargo xtask import ")
            && command.ends_with("--repository made-up/docs --commit 0123abc"),
        "{command}"
    );
    // A change of a fact changes both.
    replace(
        folder.path(),
        "vendor.yaml",
        "number: { type: integer }",
        "number: { type: string }",
    );
    let error = import::run(folder.path(), &vendor, None, Origin::default(), true).unwrap_err();
    assert!(matches!(error, Error::Stale { diffs, .. } if diffs.len() == 2));
    // Importing it tells what that means, and what to release.
    let outcome = import::run(folder.path(), &vendor, None, Origin::default(), false).unwrap();
    let changes = outcome.changes.unwrap();
    assert!(changes.count(Class::Breaking) > 0, "{}", changes.text());
    assert_eq!(changes.count(Class::Neutral), 0, "{}", changes.text());
    assert_eq!(propose(&changes).step, Step::Minor);
    let again = import::run(folder.path(), &vendor, None, Origin::default(), false).unwrap();
    assert_eq!(propose(&again.changes.unwrap()).step, Step::None);
}

#[test]
fn what_cannot_be_written_leaves_the_tree_unchanged() {
    let folder = copy();
    let outputs = [generate::CLIENT, "openapi/overlay.yaml/impossible"].map(|path| write::Output {
        path: path.into(),
        text: "new".to_owned(),
    });
    let error = write::write_all(folder.path(), &outputs)
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("openapi/overlay.yaml/impossible: cannot be written"),
        "{error}"
    );
    assert_ne!(
        std::fs::read_to_string(folder.path().join(generate::CLIENT)).unwrap(),
        "new"
    );
}

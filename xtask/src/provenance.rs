//! `openapi/provenance.toml`: where the imported document came from, and the checksum of the very file.
//! What the command line does not give stays out, so that the file never claims what nobody stated.

use sha2::{Digest, Sha256};

use crate::load::Source;

/// Where an import came from, as its options say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The repository, such as `owner/name`.
    pub repository: Option<String>,
    /// The commit.
    pub commit: Option<String>,
    /// The date of the commit.
    pub date: Option<String>,
}

/// The text of the provenance file for `source`.
#[must_use]
pub fn text(source: &Source, origin: &Origin) -> String {
    let name = source
        .name
        .rsplit(['/', '\\'])
        .next()
        .unwrap_or(&source.name);
    let mut text = String::from(
        "# Where openapi/authentication.yaml came from. Written by `cargo xtask import`, never by hand.\n",
    );
    for (key, value) in [
        ("repository", origin.repository.as_deref()),
        ("commit", origin.commit.as_deref()),
        ("date", origin.date.as_deref()),
        ("file", Some(name)),
    ] {
        if let Some(value) = value {
            text.push_str(&format!("{key} = {}\n", quoted(value)));
        }
    }
    text.push_str(&format!("sha256 = {}\n", quoted(&sha256(&source.bytes))));
    text
}

/// The origin that a provenance file states, for `import --check` without options.
#[must_use]
pub fn origin_of(text: &str) -> Origin {
    let value = |key: &str| {
        text.lines()
            .filter_map(|line| line.split_once(" = "))
            .find(|(name, _)| *name == key)
            .and_then(|(_, value)| serde_json::from_str(value).ok())
    };
    Origin {
        repository: value("repository"),
        commit: value("commit"),
        date: value("date"),
    }
}

/// A TOML basic string. JSON's escapes are a subset of TOML's.
fn quoted(value: &str) -> String {
    serde_json::Value::from(value).to_string()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let source = Source {
            name: "some/folder/file.yaml".to_owned(),
            text: String::new(),
            bytes: b"abc".to_vec(),
        };
        let origin = Origin {
            repository: Some("owner/name".to_owned()),
            commit: None,
            date: Some("2025-01-31 \"quoted\"".to_owned()),
        };
        let text = text(&source, &origin);
        assert_eq!(origin_of(&text), origin);
        assert!(text.contains("file = \"file.yaml\"\n"), "{text}");
        // The checksum of `abc` in FIPS 180-2.
        assert!(text.contains(
            "sha256 = \"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\""
        ));
    }
}

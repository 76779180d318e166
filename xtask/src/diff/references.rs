//! The files that references out of a document may lead to, read whole before anything is compared.
//! Which file a reference means is the import's rule.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::error::Error;
use crate::{load, references};

/// The files that references out of a document may lead to.
#[derive(Clone, Debug, Default)]
pub struct References {
    /// Path below the folder, with `/`, and the document, or why it cannot be read: a folder may hold files that no
    /// reference leads to, and that are no YAML.
    files: BTreeMap<String, Result<Value, String>>,
    given: bool,
}

impl References {
    /// No folder: a branch of an `allOf` in another file is left out, any other reference to one is refused.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Reads every YAML and JSON file below `folder`.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn read(folder: &Path) -> Result<Self, Error> {
        let mut files = BTreeMap::new();
        for (name, path) in references::below(folder)? {
            let document = load::read(&path)
                .map(|source| load::Source {
                    name: name.clone(),
                    ..source
                })
                .and_then(|source| load::parse(&source))
                .map_err(|error| error.to_string());
            files.insert(name, document);
        }
        Ok(Self { files, given: true })
    }

    pub(super) fn is_given(&self) -> bool {
        self.given
    }

    /// The file that `target` names, as the file `from` calls it.
    pub(super) fn find(&self, target: &str, from: &str) -> Found<'_> {
        match references::matching(self.files.keys().map(String::as_str), target, from).as_slice() {
            [] => Found::Nothing,
            [name] => match self.files.get_key_value(*name) {
                Some((path, Ok(document))) => Found::File(path, document),
                Some((_, Err(error))) => Found::Unreadable(error),
                None => Found::Nothing,
            },
            several => Found::Several(several.to_vec()),
        }
    }
}

/// What became of looking for a file.
pub(super) enum Found<'a> {
    File(&'a str, &'a Value),
    Nothing,
    Several(Vec<&'a str>),
    Unreadable(&'a str),
}

//! The files that references out of a document may lead to: given as a folder, never fetched.
//! A file is found by the longest run of last segments that its path shares with the reference.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::error::Error;
use crate::load;

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
        let mut waiting: Vec<(PathBuf, String)> = vec![(folder.to_owned(), String::new())];
        while let Some((directory, prefix)) = waiting.pop() {
            let unreadable = |error: std::io::Error| {
                Error::file(
                    directory.display().to_string(),
                    format!("cannot be read: {}", load::describe(&error)),
                    "give a folder of YAML or JSON files with --refs",
                )
            };
            for entry in std::fs::read_dir(&directory).map_err(unreadable)? {
                let entry = entry.map_err(unreadable)?;
                let name = entry.file_name().to_string_lossy().into_owned();
                if entry.file_type().map_err(unreadable)?.is_dir() {
                    waiting.push((entry.path(), format!("{prefix}{name}/")));
                } else if [".yaml", ".yml", ".json"]
                    .iter()
                    .any(|end| name.ends_with(end))
                {
                    let path = format!("{prefix}{name}");
                    let document = load::read(&entry.path())
                        .map(|source| load::Source {
                            name: path.clone(),
                            ..source
                        })
                        .and_then(|source| load::parse(&source))
                        .map_err(|error| error.to_string());
                    files.insert(path, document);
                }
            }
        }
        Ok(Self { files, given: true })
    }

    pub(super) fn is_given(&self) -> bool {
        self.given
    }

    /// The file that `target` names, as the file `from` calls it. The same rule as the import's.
    pub(super) fn find(&self, target: &str, from: &str) -> Found<'_> {
        let target = percent_decoded(target.split('?').next().unwrap_or_default());
        // A file of the folder calls its neighbours from where it stands itself.
        let is_absolute = target.contains("://") || target.starts_with('/');
        let joined = match from.rsplit_once('/') {
            Some((directory, _)) if !is_absolute => format!("{directory}/{target}"),
            _ => target,
        };
        let mut wanted: Vec<&str> = Vec::new();
        for segment in joined.split('/') {
            match segment {
                "" | "." => {}
                ".." => {
                    wanted.pop();
                }
                name => wanted.push(name),
            }
        }
        let shared = |path: &str| {
            path.rsplit('/')
                .zip(wanted.iter().rev())
                .take_while(|(ours, theirs)| ours == *theirs)
                .count()
        };
        let best = self.files.keys().map(|path| shared(path)).max();
        let best = best.filter(|shared| *shared > 0);
        let matches: Vec<_> = self
            .files
            .iter()
            .filter(|(path, _)| Some(shared(path)) == best)
            .collect();
        match matches.as_slice() {
            [] => Found::Nothing,
            [(path, Ok(document))] => Found::File(path, document),
            [(_, Err(error))] => Found::Unreadable(error),
            several => Found::Several(several.iter().map(|(path, _)| path.as_str()).collect()),
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

/// `%7B` and the like back as the characters they stand for. What is no escape stays as it is.
pub(super) fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let escaped = (first == b'%')
            .then(|| tail.get(..2))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(escaped.unwrap_or(first));
        rest = if escaped.is_some() {
            tail.get(2..).unwrap_or_default()
        } else {
            tail
        };
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

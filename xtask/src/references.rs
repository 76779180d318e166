//! Files outside of a document: listed from a local folder, found by the end of their path, never fetched.
//! Import and diff look for them by this one rule.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::load;

/// Every YAML and JSON file below `folder`, by its path from there, with `/`.
///
/// # Errors
/// If the folder cannot be read.
pub(crate) fn below(folder: &Path) -> Result<BTreeMap<String, PathBuf>, Error> {
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
            let path = entry.path();
            if entry.file_type().map_err(unreadable)?.is_dir() {
                waiting.push((path, format!("{prefix}{name}/")));
            } else if [".yaml", ".yml", ".json"]
                .iter()
                .any(|end| name.ends_with(end))
            {
                files.insert(format!("{prefix}{name}"), path);
            }
        }
    }
    Ok(files)
}

/// The paths that share the longest run of last segments with `target`, as the file `from` calls it. More than one is for
/// the caller to refuse.
pub(crate) fn matching<'p>(
    paths: impl Iterator<Item = &'p str> + Clone,
    target: &str,
    from: &str,
) -> Vec<&'p str> {
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
    let best = paths.clone().map(shared).max().unwrap_or_default();
    if best == 0 {
        return Vec::new();
    }
    paths.filter(|path| shared(path) == best).collect()
}

/// `%7B` and the like back as the characters they stand for. What is no escape stays as it is.
pub(crate) fn percent_decoded(text: &str) -> String {
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

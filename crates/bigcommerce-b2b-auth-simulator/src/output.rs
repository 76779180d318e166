//! Writes the figures and the plots into a folder.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{Error, Figures, plots};

/// Writes `figures.json` and the plots into a folder, which is created if it does not exist. Returns the paths of the files.
///
/// # Errors
/// When a plot cannot be drawn or a file cannot be written.
pub fn write(figures: &Figures, folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let failed = |path: &Path, source| Error::File {
        path: path.to_owned(),
        source,
    };
    fs::create_dir_all(folder).map_err(|source| failed(folder, source))?;
    let json = serde_json::to_string_pretty(figures)
        .map_err(|error| failed(folder, io::Error::other(error)))?;
    let mut files = vec![(folder.join("figures.json"), json + "\n")];
    for plot in plots(figures)? {
        files.push((folder.join(plot.file), plot.svg));
    }
    let mut written = Vec::new();
    for (path, text) in files {
        fs::write(&path, text).map_err(|source| failed(&path, source))?;
        written.push(path);
    }
    Ok(written)
}

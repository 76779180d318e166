//! Writes the figures and the plots: each beside its place first, and then renamed, so that nobody reads half a file.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

use crate::{Error, Figures, plots};

/// Writes `figures.json` and the plots into a folder, which is made if it is not there. Says what was written.
///
/// # Errors
/// When a plot cannot be drawn or a file cannot be written.
pub fn write(figures: &Figures, folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::File { path, source }
    };
    std::fs::create_dir_all(folder).map_err(failed(folder))?;
    let json = folder.join("figures.json");
    let mut text = serde_json::to_string_pretty(figures)
        .map_err(|error| failed(&json)(std::io::Error::other(error)))?;
    text.push('\n');
    let mut files = vec![(json, text)];
    for plot in plots(figures)? {
        files.push((folder.join(plot.file), plot.svg));
    }
    let mut written = Vec::new();
    for (path, text) in files {
        let mut file = tempfile::Builder::new()
            .prefix(".simulate-")
            .tempfile_in(folder)
            .map_err(failed(&path))?;
        file.write_all(text.as_bytes()).map_err(failed(&path))?;
        let kept = file.persist(&path);
        kept.map_err(|error| failed(&path)(error.error))?;
        written.push(path);
    }
    Ok(written)
}

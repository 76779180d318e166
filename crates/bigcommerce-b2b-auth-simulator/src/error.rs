//! What can go wrong with a simulation, told so that whoever runs it knows what to do.

use std::{fmt, io, path::PathBuf};

/// Why a simulation could not be run.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The scenario cannot be simulated; says why.
    Scenario(String),
    /// A contender cannot be deployed like this; says why.
    Deploy(String),
    /// The SDK refused what it was given.
    Sdk(bigcommerce_b2b_auth::Error),
    /// A file could not be read or written.
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no runtime to be had.
    Runtime(io::Error),
    /// A plot could not be drawn; says why.
    Plot(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scenario(message) | Self::Deploy(message) => f.write_str(message),
            Self::Sdk(error) => write!(f, "the SDK refused what it was given: {error}"),
            Self::File { path, source } => write!(
                f,
                "{} cannot be read or written: {source}; check the path and its permissions",
                path.display()
            ),
            Self::Runtime(source) => write!(f, "no runtime could be started: {source}"),
            Self::Plot(message) => write!(f, "a plot could not be drawn: {message}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Sdk(error) => Some(error),
            Self::File { source, .. } | Self::Runtime(source) => Some(source),
            Self::Scenario(_) | Self::Deploy(_) | Self::Plot(_) => None,
        }
    }
}

impl From<bigcommerce_b2b_auth::Error> for Error {
    fn from(error: bigcommerce_b2b_auth::Error) -> Self {
        Self::Sdk(error)
    }
}

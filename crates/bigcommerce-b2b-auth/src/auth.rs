//! Credentials: what a client authenticates with, where it comes from, and the secret type.

pub(crate) mod credentials;
mod environment;
mod secret;
pub(crate) mod secret_provider;

pub use self::{
    credentials::{Credentials, LegacyAuthToken, NamesStore, StoreAccess, StoreHash},
    environment::Environment,
    secret::Secret,
    secret_provider::{RotatingSecret, SecretFuture, SecretProvider},
};

//! The operations of the API: one file with a builder for each, and the checks of their arguments.

mod exchange;
pub(crate) mod input;
mod login;
pub(crate) mod mint;
pub(crate) mod server_tokens;

pub use self::{
    exchange::ExchangeSessionJwt,
    login::LogInStorefrontUser,
    mint::{CustomerAccessToken, MintStorefrontToken},
    server_tokens::{
        AllServerTokens, CreateServerToken, DeleteServerToken, ListServerTokens, ServerTokenPage,
        ServerTokenStream,
    },
};

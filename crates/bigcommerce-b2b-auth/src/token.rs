//! The tokens that the service issues, their claims, and the IDs in them.

pub(crate) mod bearer;
pub(crate) mod claims;
mod ids;
pub(crate) mod storefront_token;

pub use self::{
    claims::Claims,
    ids::{ChannelId, CustomerId, ServerTokenId},
    storefront_token::{CreatedServerToken, EventChannel, ServerToken, StorefrontToken},
};

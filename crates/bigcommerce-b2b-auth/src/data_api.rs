//! The storefront's data APIs, GraphQL and REST, called with managed tokens. What lives where: `rejection.rs` how a reply refuses
//! a token, `healing.rs` what is done about it, `layer.rs` and `storefront_api.rs` the same for `tower` and by `reqwest`, `origins.rs`
//! where tokens may go, `judge.rs` an application's own rule for responses, `sending.rs` attempts with their spans, events and
//! retries, `peek.rs` a body that is looked at on its way.

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing {
    //! How a body is judged, for `fuzzing.rs`.

    use super::rejection::{self, Verdict};

    /// Whether the body refuses the token, and then whether a part was done.
    pub(crate) fn of_graphql(body: &[u8]) -> Option<bool> {
        match rejection::of_graphql(body) {
            Verdict::Taken => None,
            Verdict::Refused => Some(false),
            Verdict::RefusedInPart => Some(true),
        }
    }
}
mod graphql;
mod healing;
mod judge;
mod layer;
mod origins;
mod peek;
mod rejection;
mod sending;
mod storefront_api;
#[cfg(test)]
mod tests;

pub use self::{
    graphql::{GraphqlError, GraphqlReply},
    healing::{Answer, CallError, TokenUse},
    judge::{Judgement, ResponseJudge, ResponseView},
    layer::{RepeatBody, RepeatBy, RepeatClone, RepeatNever, TokenLayer, TokenService},
    origins::AllowedOrigins,
    peek::PeekedBody,
    storefront_api::{CallGraphql, StorefrontApi, StorefrontApiBuilder, storefront_api_builder},
};

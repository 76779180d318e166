//! The storefront's data APIs, GraphQL and REST, called with managed tokens. What lives where: `rejection.rs` how a reply refuses
//! a token, `replay.rs` what is done about it, `layer.rs` and `api.rs` the same for `tower` and by `reqwest`, `origins.rs`
//! where tokens may go, `judge.rs` an application's own rule for responses, `sending.rs` attempts with their spans, events and
//! retries, `buffered_body.rs` a body that is looked at on its way.

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing {
    //! How a body is judged, for `fuzz/properties.rs`.

    use super::{rejection, replay::Answer};

    /// Whether the body refuses the token, and then whether a part was done.
    pub(crate) fn of_graphql(body: &[u8]) -> Option<bool> {
        match rejection::of_graphql(body) {
            Answer::Accepted(()) => None,
            Answer::Refused(()) => Some(false),
            Answer::RefusedForGood(()) => Some(true),
        }
    }
}
mod api;
mod buffered_body;
mod graphql;
mod judge;
mod layer;
mod origins;
mod rejection;
mod replay;
mod sending;
#[cfg(test)]
mod tests;

pub use self::{
    api::{CallGraphql, StorefrontApi, StorefrontApiBuilder, storefront_api_builder},
    buffered_body::PeekedBody,
    graphql::{GraphqlError, GraphqlReply},
    judge::{Judgement, ResponseJudge, ResponseView},
    layer::{RepeatBody, RepeatBy, RepeatClone, RepeatNever, TokenLayer, TokenService},
    origins::AllowedOrigins,
    replay::{Answer, CallError, TokenUse},
};

//! The six operations, one function each, from a request and the state to a reply or a refusal.
//! A function that needs a store asks `header_rules` for it first.

pub(crate) mod exchange;
mod login;
mod mint;
mod server_tokens;

use crate::call::Call;
use crate::header_rules::refuse_mixture;
use crate::operation::Operation;
use crate::reply::{Refusal, Reply};
use crate::state::Stores;

/// Answers a request that belongs to an operation.
pub(crate) fn answer(
    operation: Operation,
    call: &Call<'_>,
    stores: &mut Stores,
) -> Result<Reply, Refusal> {
    refuse_mixture(call.headers)?;
    match operation {
        Operation::Mint => mint::mint(call, stores),
        Operation::Login => login::login(call, stores),
        Operation::Exchange => exchange::exchange(call, stores),
        Operation::CreateServerToken => server_tokens::create(call, stores),
        Operation::DeleteServerToken => server_tokens::delete(call, stores),
        Operation::ListServerTokens => server_tokens::list(call, stores),
    }
}

//! The path of a call: permit, attempt, classification of the response, retry.

pub(crate) mod attempt;
pub(crate) mod base_url;
pub(crate) mod call;
pub(crate) mod error_body;
pub(crate) mod options;
pub(crate) mod response;
pub(crate) mod retry;
pub(crate) mod shared;
pub mod transport;

pub use self::{
    error_body::BodyCode,
    options::{CallOptions, CallOptionsBuilder},
    response::{BudgetReading, Reply, ReplyMeta},
    retry::{Jitter, RetryBudget, RetryPolicy, RetryPolicyBuilder},
};

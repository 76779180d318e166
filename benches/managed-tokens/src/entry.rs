//! What somebody who builds on a cache would keep in it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http::HeaderValue;

use crate::{Result, jwt};

/// A token, ready to be sent. A handle is the `Arc`: a hit copies nothing of the token.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) authorization: HeaderValue,
    pub(crate) expires: Instant,
}

impl Entry {
    pub(crate) fn new(customer: u32) -> Result<Arc<Self>> {
        let lifetime = Duration::from_secs(jwt::LIFETIME_SECONDS);
        // Made from a borrowed string, a header has no capacity to spare, which counts where a million are kept.
        let mut authorization =
            HeaderValue::from_str(&format!("Bearer {}", jwt::token(customer)?))?;
        authorization.set_sensitive(true);
        Ok(Arc::new(Self {
            authorization,
            expires: Instant::now() + lifetime,
        }))
    }
}

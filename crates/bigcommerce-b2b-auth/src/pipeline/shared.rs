//! What all calls of a client and its relatives share: transport, base URL, clock, options and per-store state.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bigcommerce_b2b_auth_api::Transport;
use http::HeaderValue;

use super::{base_url::BaseUrl, options::Settled};
use crate::{
    ChannelId, Clock, Jitter, rate_limit::Stores, telemetry::Observer,
    time::service_clock::ServiceClock,
};

/// What clones and relatives of a client have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Builds the requests of the generated client; `transport` sends them.
    pub(crate) http: reqwest::Client,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) base_url: BaseUrl,
    pub(crate) user_agent: HeaderValue,
    pub(crate) default_channel: Option<ChannelId>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) jitter: Arc<dyn Jitter>,
    pub(crate) observer: Option<Arc<dyn Observer>>,
    pub(crate) record_customer_id: bool,
    /// Whether the last call ended with a response that may be the fault of its connection.
    pub(crate) is_connection_suspect: AtomicBool,
    /// One service, one clock.
    pub(crate) service_clock: ServiceClock,
    pub(crate) options: Settled,
    /// The longest wait after a 429 that is honoured.
    pub(crate) longest_retry_after: Duration,
    pub(crate) stores: Stores,
}

impl Shared {
    /// A call ended with a response that may be the fault of its connection: the next call takes another one.
    pub(crate) fn suspect_connection(&self) {
        self.is_connection_suspect.store(true, Ordering::Relaxed);
    }

    /// Whether the call that begins now has to take another connection than the last one.
    pub(crate) fn take_suspicion(&self) -> bool {
        // Usually there is none, and a read is cheaper than a write that other cores have to notice.
        self.is_connection_suspect.load(Ordering::Relaxed)
            && self.is_connection_suspect.swap(false, Ordering::Relaxed)
    }
}

//! What changes while the sandbox runs: server tokens come and go, purses are spent.
//! All of it stands behind one lock and an operation gets it whole: a request is one step.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use crate::assumptions::{Assumptions, RepeatedMint};
use crate::jwt::Signer;
use crate::rate_limit::{Purse, RateLimit};
use crate::secret::Secret;
use crate::store::{Customer, EventChannel, ServerToken, Store};

/// How long a storefront token lives when nothing else is asked for.
pub(crate) const STOREFRONT_TOKEN_LIFE: u64 = 24 * 60 * 60;

/// The database name in every token; its meaning is the service's own affair.
pub(crate) const DATABASE: &str = "default";

/// The stores by their hash.
pub(crate) type Stores = BTreeMap<String, StoreState>;

/// A store and what has become of it.
#[derive(Debug)]
pub(crate) struct StoreState {
    pub(crate) store: Store,
    /// What all integrations of the store spend from.
    pub(crate) purse: Purse,
    /// What the operations spend from instead, if they have a limit of their own.
    auth_purse: Option<Purse>,
    pub(crate) server_tokens: Vec<ServerToken>,
    last_token_id: u64,
    /// Storefront tokens by customer and channel with their expiry, for [`RepeatedMint::Same`].
    issued: HashMap<(u64, u64), (u64, Secret)>,
    arbitrary_channels: u64,
}

impl StoreState {
    pub(crate) fn new(
        store: Store,
        limit: RateLimit,
        auth_limit: Option<RateLimit>,
        signer: &Signer,
    ) -> Self {
        let mut state = Self {
            purse: Purse::new(limit),
            auth_purse: auth_limit.map(Purse::new),
            server_tokens: Vec::new(),
            last_token_id: 0,
            issued: HashMap::new(),
            arbitrary_channels: 0,
            store,
        };
        for initial in state.store.initial_server_tokens().to_vec() {
            state.add_server_token(initial.name, initial.email, initial.event_channel, signer);
        }
        state
    }

    /// What the operations spend from.
    pub(crate) fn calls_purse(&mut self) -> &mut Purse {
        self.auth_purse.as_mut().unwrap_or(&mut self.purse)
    }

    /// Adds a server token and gives its value.
    ///
    /// The claims of a token made by a call name the user and the store and nothing else, so two
    /// tokens of one user have the same bytes. They are two entries with two ids all the same, and
    /// the bytes work until the last of them is deleted.
    pub(crate) fn add_server_token(
        &mut self,
        name: String,
        email: String,
        event_channel: EventChannel,
        signer: &Signer,
    ) -> String {
        let hash = self.store.hash();
        let claims = match event_channel {
            EventChannel::Api => json!({ "email": email, "store_hash": hash, "db": DATABASE }),
            EventChannel::App | EventChannel::Admin => json!({
                "email": email,
                "store_hash": hash,
                "db": DATABASE,
                "name": name,
                "event_channel": event_channel.as_str(),
                "token_version": 1,
            }),
        };
        let token = signer.sign(&claims);
        self.last_token_id += 1;
        self.server_tokens.push(ServerToken {
            id: self.last_token_id,
            name,
            email,
            event_channel,
            token: Secret::new(token.clone()),
        });
        token
    }

    /// A storefront token as a mint gives it: no `iat` and no `nbf`.
    pub(crate) fn issue_storefront_token(
        &mut self,
        customer: &Customer,
        channel: u64,
        now: u64,
        assumptions: &Assumptions,
        signer: &Signer,
    ) -> String {
        let key = (customer.id(), channel);
        if assumptions.repeated_mint == RepeatedMint::Same
            && let Some((expiry, token)) = self.issued.get(&key)
            && now < *expiry
        {
            return token.expose().to_owned();
        }
        let expiry = now.saturating_add(STOREFRONT_TOKEN_LIFE);
        let token = signer.sign(&json!({
            "email": customer.email(),
            "bc_customer_id": customer.id(),
            "store_hash": self.store.hash(),
            "db": DATABASE,
            "bc_channel_id": channel,
            "exp": expiry,
        }));
        if assumptions.repeated_mint == RepeatedMint::Same {
            self.issued
                .insert(key, (expiry, Secret::new(token.clone())));
        }
        token
    }

    /// Some channel, though neither the one that was asked for nor one that the store has; a
    /// different one each time.
    pub(crate) fn arbitrary_channel(&mut self, asked: u64) -> u64 {
        loop {
            self.arbitrary_channels = self.arbitrary_channels.wrapping_add(1);
            let channel = 9_000_000 + self.arbitrary_channels % 1_000_000;
            if channel != asked && !self.store.channels().contains(&channel) {
                return channel;
            }
        }
    }
}

/// Whether these are the claims of a storefront token, from whichever operation.
pub(crate) fn is_storefront_token(claims: &Value) -> bool {
    claims.get("bc_customer_id").is_some() || claims.get("token_type").is_some()
}

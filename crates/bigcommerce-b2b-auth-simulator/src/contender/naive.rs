//! A map behind a mutex, as it is written first: whoever finds no token mints one and puts it in.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use bigcommerce_b2b_auth::{CustomerId, StorefrontToken};
use tokio::time::timeout;

use super::{Reason, hand_written::Mint, managed::reason};
use crate::{
    Error,
    world::{World, locked},
};

#[derive(Debug)]
pub(crate) struct Naive {
    tokens: Mutex<HashMap<CustomerId, StorefrontToken>>,
    mint: Mint,
}

impl Naive {
    pub(super) fn start(world: &World) -> Result<Self, Error> {
        Ok(Self {
            tokens: Mutex::default(),
            mint: Mint::new(world)?,
        })
    }

    pub(super) fn look(&self, customer: CustomerId) -> bool {
        locked(&self.tokens)
            .get(&customer)
            .is_some_and(|token| !self.mint.is_over(token))
    }

    pub(super) async fn fetch(self: Arc<Self>, customer: CustomerId) -> Result<(), Reason> {
        match timeout(self.mint.patience, self.mint.mint(customer)).await {
            Ok(Ok(token)) => {
                locked(&self.tokens).insert(customer, token);
                Ok(())
            }
            Ok(Err(error)) => Err(reason(&error)),
            Err(_) => Err("Timeout".to_owned()),
        }
    }

    pub(super) fn entries(&self) -> usize {
        locked(&self.tokens).len()
    }
}

//! Who is to hand out tokens: the SDK's managed tokens, and what people write in their place.

mod hand_written;
mod managed;
mod moka;
mod naive;

use std::{fmt, sync::Arc};

use bigcommerce_b2b_auth::CustomerId;
use serde::Serialize;

use self::{managed::Managed, moka::Moka, naive::Naive};
use crate::{
    Error,
    world::{Nature, World},
};

/// A way to hand out tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Contender {
    /// The SDK's managed tokens with its own defaults
    Ours,
    /// The same, but every token comes due at the same part of its life
    Unspread,
    /// moka's `try_get_with` around a mint without budget or repetitions
    Moka,
    /// A map, and whoever finds no token in it mints one: no budget, no repetitions, nothing shared
    Naive,
    /// The SDK's managed tokens before a service that never fails and refuses nothing: what mints are compared with
    Ideal,
}

/// What a deploy does to the process and its cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Deploy {
    /// There is none
    None,
    /// The new process begins with an empty cache
    Lost,
    /// The old process writes its cache down before it ends, and the new one reads it
    Snapshot,
    /// The old process is killed, and the new one reads what was written down last
    Crash,
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ours => "ours",
            Self::Unspread => "unspread",
            Self::Moka => "moka",
            Self::Naive => "naive",
            Self::Ideal => "ideal",
        })
    }
}

impl fmt::Display for Deploy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Lost => "lost",
            Self::Snapshot => "snapshot",
            Self::Crash => "crash",
        })
    }
}

impl Contender {
    /// Whether this contender can be deployed like this at all.
    ///
    /// # Errors
    /// [`Error::Deploy`], which says what it lacks.
    pub fn can_be_deployed(self, deploy: Deploy) -> Result<(), Error> {
        match (self, deploy) {
            (_, Deploy::None) => Ok(()),
            (Self::Ideal, _) => Err(Error::Deploy(
                "nothing befalls the ideal, a deploy neither: run it with --deploy none".to_owned(),
            )),
            (_, Deploy::Lost) | (Self::Ours | Self::Unspread, _) => Ok(()),
            (Self::Moka | Self::Naive, Deploy::Snapshot | Deploy::Crash) => {
                Err(Error::Deploy(format!(
                    "{self} writes nothing down that the next process could read: run it with --deploy lost"
                )))
            }
        }
    }

    pub(crate) fn nature(self) -> Nature {
        Nature {
            is_ideal: self == Self::Ideal,
            renews: matches!(self, Self::Ours | Self::Unspread | Self::Ideal),
            is_spread: self != Self::Unspread,
        }
    }
}

/// A contender at work: the process that hands out tokens.
#[derive(Debug)]
pub(crate) enum Process {
    Managed(Managed),
    Moka(Moka),
    Naive(Arc<Naive>),
}

/// Why a shopper's request failed, in a word or two.
pub(crate) type Reason = String;

impl Process {
    /// A process with an empty cache, that writes it down if the deploy to come needs that.
    pub(crate) async fn start(
        contender: Contender,
        deploy: Deploy,
        world: &World,
    ) -> Result<Self, Error> {
        Ok(match contender {
            Contender::Ours | Contender::Unspread | Contender::Ideal => {
                Self::Managed(Managed::start(deploy, world).await?)
            }
            Contender::Moka => Self::Moka(Moka::start(world)?),
            Contender::Naive => Self::Naive(Arc::new(Naive::start(world)?)),
        })
    }

    /// Whether there is a token that can be served at once.
    pub(crate) async fn look(&self, customer: CustomerId) -> bool {
        match self {
            Self::Managed(managed) => managed.look(customer),
            Self::Moka(moka) => moka.look(customer).await,
            Self::Naive(naive) => naive.look(customer),
        }
    }

    /// Waits for a token, in a task of its own and no longer than the shopper's patience.
    pub(crate) fn fetch(
        &self,
        customer: CustomerId,
    ) -> impl Future<Output = Result<(), Reason>> + Send + 'static {
        enum Fetch<A, B, C> {
            Managed(A),
            Moka(B),
            Naive(C),
        }
        let fetch = match self {
            Self::Managed(managed) => Fetch::Managed(managed.clone().fetch(customer)),
            Self::Moka(moka) => Fetch::Moka(moka.clone().fetch(customer)),
            Self::Naive(naive) => Fetch::Naive(Arc::clone(naive).fetch(customer)),
        };
        async move {
            match fetch {
                Fetch::Managed(fetch) => fetch.await,
                Fetch::Moka(fetch) => fetch.await,
                Fetch::Naive(fetch) => fetch.await,
            }
        }
    }

    /// How many entries the cache has.
    pub(crate) async fn entries(&self) -> usize {
        match self {
            Self::Managed(managed) => managed.entries(),
            Self::Moka(moka) => moka.entries().await,
            Self::Naive(naive) => naive.entries(),
        }
    }

    /// What the SDK takes others to spend of the budget in a minute at present.
    pub(crate) fn others_per_minute(&self) -> Option<f64> {
        match self {
            Self::Managed(managed) => Some(managed.others_per_minute()),
            Self::Moka(_) | Self::Naive(_) => None,
        }
    }

    /// How many live tokens the SDK has evicted since the first process began.
    pub(crate) fn evicted_live(&self) -> Option<u64> {
        match self {
            Self::Managed(managed) => Some(managed.evicted_live()),
            Self::Moka(_) | Self::Naive(_) => None,
        }
    }

    /// A deploy: this process ends and another takes its place. Requests that wait in the old one are answered by it.
    pub(crate) async fn replace(
        &mut self,
        contender: Contender,
        deploy: Deploy,
        world: &World,
    ) -> Result<(), Error> {
        match (deploy, &mut *self) {
            (Deploy::None, _) => {}
            (_, Self::Managed(managed)) => managed.replace(deploy, world).await?,
            (_, Self::Moka(_) | Self::Naive(_)) => {
                contender.can_be_deployed(deploy)?;
                *self = Self::start(contender, deploy, world).await?;
                world.record.all_lost();
            }
        }
        Ok(())
    }
}

//! Who is compared, with what a table says of them.

use crate::ours::{Ours, OursCached};
use crate::{
    Contender, Result,
    aws::Aws,
    azure::Azure,
    google::{Google, GoogleKept},
    moka::{Moka, MokaLoader},
    object_store::ObjectStore,
    quick_cache::{Checked, QuickCache},
};

/// A contender before it is started.
#[derive(Debug, Clone, Copy)]
pub struct Entrant {
    /// What it is called, here and on the command line of a child.
    pub name: &'static str,
    /// Who sees to it that nothing expired is handed out.
    pub checks_expiry: &'static str,
    /// Whether it holds a token for each of many customers.
    pub many_keys: bool,
    /// Whether it is another way into a store that is in the lineup already.
    pub same_store: bool,
    start: fn(u32) -> Result<Box<dyn Contender>>,
}

impl Entrant {
    /// Starts it with tokens for customers 1 to `customers`; one that holds a single token gets that one.
    ///
    /// # Errors
    /// When it cannot get its tokens.
    pub fn start(&self, customers: u32) -> Result<Box<dyn Contender>> {
        (self.start)(customers)
    }
}

/// The most entries that a cache may hold: so many more than there are that none of them ever makes room.
pub(crate) const CAPACITY: u64 = 1_100_000;

/// What the ratios of a table are to, if it is there.
pub const REFERENCE: &str = "ours get";

/// Everybody, in the order of a table.
pub const LINEUP: &[Entrant] = &[
    Entrant {
        name: REFERENCE,
        checks_expiry: "the SDK",
        many_keys: true,
        same_store: false,
        start: |customers| Ok(Box::new(Ours::with(customers)?)),
    },
    Entrant {
        name: "ours get_cached",
        checks_expiry: "the SDK",
        many_keys: true,
        same_store: true,
        start: |customers| Ok(Box::new(OursCached::with(customers)?)),
    },
    Entrant {
        name: "quick_cache loader",
        checks_expiry: "nobody",
        many_keys: true,
        same_store: false,
        start: |customers| Ok(Box::new(QuickCache::with(customers)?)),
    },
    Entrant {
        name: "quick_cache, checked",
        checks_expiry: "its caller, one clock",
        many_keys: true,
        same_store: true,
        start: |customers| Ok(Box::new(Checked::with(customers)?)),
    },
    Entrant {
        name: "moka get",
        checks_expiry: "the cache",
        many_keys: true,
        same_store: false,
        start: |customers| Ok(Box::new(Moka::with(customers)?)),
    },
    Entrant {
        name: "moka try_get_with",
        checks_expiry: "the cache",
        many_keys: true,
        same_store: true,
        start: |customers| Ok(Box::new(MokaLoader::with(customers)?)),
    },
    Entrant {
        name: "object_store",
        checks_expiry: "the SDK",
        many_keys: false,
        same_store: false,
        start: |_| Ok(Box::new(ObjectStore::new()?)),
    },
    Entrant {
        name: "google-cloud-auth",
        checks_expiry: "the SDK",
        many_keys: false,
        same_store: false,
        start: |_| Ok(Box::new(Google::new()?)),
    },
    Entrant {
        name: "google-cloud, kept",
        checks_expiry: "the SDK",
        many_keys: false,
        same_store: true,
        start: |_| Ok(Box::new(GoogleKept::new()?)),
    },
    Entrant {
        name: "azure_identity",
        checks_expiry: "the SDK",
        many_keys: false,
        same_store: false,
        start: |_| Ok(Box::new(Azure::new()?)),
    },
    Entrant {
        name: "AWS LazyCache",
        checks_expiry: "the SDK",
        many_keys: false,
        same_store: false,
        start: |_| Ok(Box::new(Aws::new()?)),
    },
];

/// The one of that name.
///
/// # Errors
/// When there is none.
pub fn find(name: &str) -> Result<Entrant> {
    LINEUP
        .iter()
        .find(|entrant| entrant.name == name)
        .copied()
        .ok_or_else(|| format!("nobody is called {name}").into())
}

//! What every contender does, and the loop that is measured.

use std::{fmt, hint::black_box, io};

use tokio::runtime::{Builder, Runtime};

use crate::Result;

/// One who has a token for every customer that it was started with.
pub trait Contender: Send + Sync {
    /// Gets the token of one customer after the other.
    ///
    /// The whole loop is in here, so that being called through a trait object costs once and not per hit.
    ///
    /// # Errors
    /// When a token is not there.
    fn hits(&self, runtime: &Runtime, customers: &[u32]) -> Result<()>;
}

/// The loop. `hit` is async for all, since it is for most; one who never waits loses nothing by it.
pub(crate) fn in_turn(
    runtime: &Runtime,
    customers: &[u32],
    hit: impl AsyncFn(u32) -> Result<()>,
) -> Result<()> {
    runtime.block_on(async {
        for &customer in customers {
            hit(customer).await?;
        }
        Ok(())
    })
}

/// Where a header or token is made use of: its bytes are found, and not read.
pub(crate) fn in_hand(text: &(impl AsRef<[u8]> + ?Sized)) {
    black_box(text.as_ref());
}

/// The runtime of a thread that hits. It has a clock because the AWS cache makes a timer for every hit.
///
/// # Errors
/// As tokio's builder.
pub fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_time().build()
}

/// What a loader gives here, so that nothing but hits can be measured.
#[derive(Debug)]
pub(crate) struct Miss;

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a token that was put into the cache is not there")
    }
}

impl std::error::Error for Miss {}

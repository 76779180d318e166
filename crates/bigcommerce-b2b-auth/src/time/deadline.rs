//! Ending what takes too long, on tokio's timer: an attempt, the wait for a permit, a provider of credentials.

use tokio::time::{Instant, error::Elapsed, timeout_at};

/// Runs `work` up to the deadline; none is one beyond what a clock can hold.
pub(crate) async fn in_time<T>(
    deadline: Option<Instant>,
    work: impl Future<Output = T>,
) -> Result<T, Elapsed> {
    match deadline {
        Some(deadline) => timeout_at(deadline, work).await,
        None => Ok(work.await),
    }
}

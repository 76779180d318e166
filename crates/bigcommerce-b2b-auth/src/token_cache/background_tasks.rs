//! What is done on the side, without anybody waiting for it: telling the token backend. A shutdown waits until it is done.

use tokio::{runtime::Handle, sync::watch};

/// The chores that are under way.
#[derive(Debug)]
pub(super) struct Chores {
    runtime: Option<Handle>,
    under_way: watch::Sender<usize>,
}

impl Chores {
    pub(super) fn new(runtime: Option<Handle>) -> Self {
        Self {
            runtime,
            under_way: watch::Sender::new(0),
        }
    }

    /// Does this on the side, which must end by itself within seconds. Without a runtime it is left undone: nothing may
    /// rely on it.
    pub(super) fn begin(&self, work: impl Future<Output = ()> + Send + 'static) {
        let Some(runtime) = self.runtime.clone().or_else(|| Handle::try_current().ok()) else {
            return;
        };
        self.under_way.send_modify(|count| *count += 1);
        let done = Done(self.under_way.clone());
        drop(runtime.spawn(async move {
            work.await;
            drop(done);
        }));
    }

    /// Completes when nothing is under way.
    pub(super) async fn done(&self) {
        // There is a sender in `self`, so that it cannot be gone.
        let _ = self
            .under_way
            .subscribe()
            .wait_for(|count| *count == 0)
            .await;
    }
}

/// Counts down, whatever becomes of the chore.
struct Done(watch::Sender<usize>);

impl Drop for Done {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}

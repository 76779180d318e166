//! Log-outs, in the *time* harness: `forget` ends every token of a customer in the cache, in refreshes in flight and in the
//! snapshot, and touches nothing that is obtained afterwards.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on ends with a panic"
)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bigcommerce_b2b_auth::{
    Capacity, ChannelId, CustomerAccessToken, ErrorKind, MemoryTokenStore, Snapshot, SnapshotKey,
    TokenRequest, TokenStore,
    telemetry::{Observer, SnapshotEvent},
};
use futures_util::future::join_all;
use tempfile::TempDir;
use tests::managed::{Managed, Wanted, customer};

const SECOND: Duration = Duration::from_secs(1);

/// Counts the snapshots that were written.
#[derive(Debug, Default)]
struct Writes(AtomicU32);

impl Observer for Writes {
    fn on_snapshot(&self, event: &SnapshotEvent<'_>) {
        if matches!(event, SnapshotEvent::Written(_)) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Writes {
    fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

fn wanted(folder: &TempDir, writes: &Arc<Writes>) -> Wanted {
    let path = folder.path().join("tokens.snapshot");
    Wanted {
        snapshot: Some(Snapshot::new(path, SnapshotKey::from([1; 32]))),
        observer: Some(Arc::clone(writes) as Arc<dyn Observer>),
        ..Wanted::default()
    }
}

/// Requests for one customer that have an entry of their own each.
fn variants(id: u64) -> Vec<TokenRequest> {
    let request = || TokenRequest::new(customer(id));
    let channel = |id: i64| ChannelId::new(id).unwrap();
    let access_token = |text: &str| CustomerAccessToken::new(text);
    vec![
        request(),
        request().channel(channel(1)),
        request().channel(channel(2)),
        request().customer_access_token(access_token("one")),
        request().customer_access_token(access_token("another")),
        request()
            .channel(channel(2))
            .customer_access_token(access_token("one")),
    ]
}

#[tokio::test(start_paused = true)]
async fn a_log_out_ends_the_tokens_of_every_channel_and_customer_access_token() {
    let managed = Managed::new(Wanted::default());
    for request in variants(1).into_iter().chain(variants(2)) {
        managed.tokens.get(request).await.unwrap();
    }
    assert_eq!(managed.mints(), 12);
    assert!(managed.tokens.forget(customer(1)));
    for request in variants(1) {
        assert!(managed.tokens.get_cached(request).is_none());
    }
    for request in variants(2) {
        assert!(managed.tokens.get_cached(request).is_some());
    }
    assert!(!managed.tokens.forget(customer(1)), "once is enough");
    // What the customer obtains afterwards stays.
    for request in variants(1) {
        managed.tokens.get(request.clone()).await.unwrap();
        assert!(managed.tokens.get_cached(request).is_some());
    }
    assert_eq!(managed.mints(), 18);
    assert!(managed.tokens.forget(customer(1)));
    assert_eq!(managed.tokens.metrics().entries, 6);
}

#[tokio::test(start_paused = true)]
async fn a_log_out_finds_what_is_left_after_evictions_and_sweeps() {
    let managed = Managed::new(Wanted {
        capacity: Some(Capacity::entries(3)),
        ..Wanted::default()
    });
    for request in variants(1) {
        managed.tokens.get(request).await.unwrap();
    }
    assert_eq!(managed.tokens.metrics().entries, 3);
    assert!(managed.tokens.forget(customer(1)));
    assert_eq!(managed.tokens.metrics().entries, 0);

    for request in variants(1).into_iter().take(3) {
        managed.tokens.get(request).await.unwrap();
    }
    tokio::time::sleep(25 * 3600 * SECOND).await;
    assert_eq!(managed.tokens.sweep(), 3);
    assert!(!managed.tokens.forget(customer(1)));
}

#[tokio::test(start_paused = true)]
async fn a_log_out_during_a_mint_drops_its_token() {
    let managed = Managed::new(Wanted::default());
    managed.way.takes(2 * SECOND);
    for request in variants(1) {
        let minting = tokio::spawn({
            let (tokens, request) = (managed.tokens.clone(), request.clone());
            async move { tokens.get(request).await }
        });
        tokio::time::sleep(SECOND).await;
        assert!(!managed.tokens.forget(customer(1)));
        // The customer logs in again while the first mint is still under way.
        let again = managed.tokens.get(request.clone()).await.unwrap();
        let error = minting.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Forgotten);
        assert!(!error.is_retryable());
        let there = managed.tokens.get_cached(request).unwrap();
        assert_eq!(there.expose_secret(), again.expose_secret());
        managed.tokens.forget(customer(1));
    }
    managed.settle().await;
    assert_eq!(managed.tokens.metrics().entries, 0);
    assert_eq!(
        managed.tokens.metrics().failures,
        0,
        "nothing is remembered"
    );
}

#[tokio::test(start_paused = true)]
async fn a_log_out_during_a_renewal_in_the_background_drops_its_token() {
    let managed = Managed::new(Wanted::default());
    managed.tokens.get(customer(1)).await.unwrap();
    tokio::time::sleep(20 * 3600 * SECOND).await;
    managed.way.takes(2 * SECOND);
    managed.tokens.get(customer(1)).await.unwrap();
    tokio::time::sleep(SECOND).await;
    assert!(managed.tokens.forget(customer(1)));
    tokio::time::sleep(10 * SECOND).await;
    assert_eq!(managed.mints(), 2, "the renewal was sent");
    assert!(managed.tokens.get_cached(customer(1)).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_restart_after_a_log_out_does_not_bring_the_token_back() {
    let (folder, writes) = (tempfile::tempdir().unwrap(), Arc::default());
    let before = Managed::new(wanted(&folder, &writes));
    before.tokens.restore().await;
    for id in 1..=3 {
        before.tokens.get(customer(id)).await.unwrap();
    }
    before.tokens.write_snapshot().await.unwrap();
    // Killed within the window: the token is restored, as documented.
    before.tokens.forget(customer(1));
    tokio::time::sleep(4 * SECOND).await;
    let killed = before.another(wanted(&folder, &writes));
    assert_eq!(killed.tokens.restore().await.restored, 3);

    tokio::time::sleep(2 * SECOND).await;
    let after = before.another(wanted(&folder, &writes));
    assert_eq!(after.tokens.restore().await.restored, 2);
    assert!(after.tokens.get_cached(customer(1)).is_none());
}

#[tokio::test(start_paused = true)]
async fn log_outs_within_some_seconds_share_one_write() {
    let (folder, writes) = (tempfile::tempdir().unwrap(), Arc::default());
    let managed = Managed::new(wanted(&folder, &writes));
    managed.tokens.restore().await;
    for id in 1..=10 {
        managed.tokens.get(customer(id)).await.unwrap();
    }
    managed.tokens.write_snapshot().await.unwrap();
    assert_eq!(writes.count(), 1);
    for id in 1..=8 {
        managed.tokens.forget(customer(id));
        tokio::time::sleep(SECOND / 2).await;
    }
    tokio::time::sleep(20 * SECOND).await;
    assert_eq!(writes.count(), 2);
    // A log-out of a customer who is not here has the snapshot written as well: it may hold what the cache does not.
    managed.tokens.forget(customer(1));
    tokio::time::sleep(20 * SECOND).await;
    assert_eq!(writes.count(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_confirmed_log_out_completes_when_no_snapshot_holds_the_token() {
    let (folder, writes) = (tempfile::tempdir().unwrap(), Arc::default());
    let managed = Managed::new(wanted(&folder, &writes));
    managed.tokens.restore().await;
    for id in 1..=10 {
        managed.tokens.get(customer(id)).await.unwrap();
    }
    managed.tokens.write_snapshot().await.unwrap();
    // All that wait at once are served by one write or two, not by one each.
    let done = join_all((1..=8).map(|id| managed.tokens.forget_and_confirm(customer(id)))).await;
    assert!(done.into_iter().all(|was_there| was_there.unwrap()));
    assert!(writes.count() <= 3, "{}", writes.count());
    let after = managed.another(wanted(&folder, &writes));
    assert_eq!(after.tokens.restore().await.restored, 2);

    // Another process has the lock: it is this one's snapshot that is not known to be clean.
    let error = after
        .tokens
        .forget_and_confirm(customer(9))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotConfirmed);
    assert!(after.tokens.get_cached(customer(9)).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_cache_that_takes_over_a_snapshot_leaves_out_who_logged_out() {
    let (folder, writes) = (tempfile::tempdir().unwrap(), Arc::default());
    let first = Managed::new(wanted(&folder, &writes));
    first.tokens.restore().await;
    for id in 1..=3 {
        first.tokens.get(customer(id)).await.unwrap();
    }
    first.tokens.write_snapshot().await.unwrap();
    let second = first.another(wanted(&folder, &writes));
    assert_eq!(second.tokens.restore().await.restored, 3);
    assert!(second.tokens.forget(customer(1)));
    // The first process ends, with the token in the snapshot; the second one reads it once more and takes over.
    first.tokens.shutdown().await;
    tokio::time::sleep(10 * 60 * SECOND).await;
    assert!(second.tokens.get_cached(customer(1)).is_none());
    let third = first.another(wanted(&folder, &writes));
    assert_eq!(third.tokens.restore().await.restored, 2);
}

/// Two processes on one token backend.
fn fleet() -> (Managed, Managed) {
    let backend: Arc<dyn TokenStore> = Arc::new(MemoryTokenStore::new());
    let wanted = || Wanted {
        shared_store: Some(Arc::clone(&backend)),
        ..Wanted::default()
    };
    let one = Managed::new(wanted());
    let other = one.another(wanted());
    (one, other)
}

#[tokio::test(start_paused = true)]
async fn a_log_out_ends_the_tokens_in_the_token_backend() {
    let (one, other) = fleet();
    for request in variants(1) {
        one.tokens.get(request).await.unwrap();
    }
    one.tokens.get(customer(2)).await.unwrap();
    assert!(one.tokens.forget_and_confirm(customer(1)).await.unwrap());
    assert_eq!(one.mints(), 7);
    // The other process finds none of them, and the token of the other customer.
    for request in variants(1) {
        other.tokens.get(request).await.unwrap();
    }
    other.tokens.get(customer(2)).await.unwrap();
    assert_eq!(one.mints(), 13);
    // What was obtained after the log-out is shared again.
    for request in variants(1) {
        one.tokens.get(request).await.unwrap();
    }
    assert_eq!(one.mints(), 13);
}

#[tokio::test(start_paused = true)]
async fn a_log_out_in_another_process_drops_what_is_being_minted_here() {
    let (one, other) = fleet();
    other.way.takes(2 * SECOND);
    let minting = tokio::spawn({
        let tokens = other.tokens.clone();
        async move { tokens.get(customer(1)).await }
    });
    tokio::time::sleep(SECOND).await;
    one.tokens.forget(customer(1));
    let error = minting.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Forgotten);
    assert!(other.tokens.get_cached(customer(1)).is_none());
    // Neither process serves it, and the next token is shared.
    let new = one.tokens.get(customer(1)).await.unwrap();
    let same = other.tokens.get(customer(1)).await.unwrap();
    assert_eq!(new.expose_secret(), same.expose_secret());
    assert_eq!(one.mints(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_token_of_before_a_log_out_does_not_come_back_from_the_token_backend() {
    let (one, _other) = fleet();
    for round in 1..=3 {
        one.tokens.get(customer(1)).await.unwrap();
        // The next request begins before the backend can have been told.
        one.tokens.forget(customer(1));
        one.tokens.get(customer(1)).await.unwrap();
        one.settle().await;
        assert!(one.tokens.get_cached(customer(1)).is_some());
        assert_eq!(one.mints(), 1 + round);
    }
}

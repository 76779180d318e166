//! The access token that a mint would send now: a remembered failure counts for the token that failed, and for no other.

use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::atomic::{AtomicU64, Ordering},
    task::Poll,
    time::Duration,
};

use futures_util::FutureExt as _;
use tokio::{
    runtime::Handle,
    sync::Mutex,
    time::{Instant, timeout_at},
};

use crate::{
    Client, SecretProvider, StoreAccess,
    auth::{
        credentials::{Token, TokenFingerprint},
        secret_provider::header_safe,
    },
};

/// How long an access that would be refused waits for the provider of the access token.
const PATIENCE: Duration = Duration::from_secs(1);

/// Asks the provider of the access token, for one access at a time. Those who come meanwhile share the answer.
#[derive(Debug, Default)]
pub(super) struct CurrentAccessToken {
    answer: Mutex<Option<TokenFingerprint>>,
    answers: AtomicU64,
}

impl CurrentAccessToken {
    /// Whether a failure that happened with this access token still counts: that token would be sent again, or the provider
    /// does not say in time which one would be.
    ///
    /// It is known at once for a fixed token, and for a provider that answers without waiting.
    pub(super) async fn is(
        &self,
        failed: TokenFingerprint,
        client: &Client<StoreAccess>,
        ends_at: Option<Instant>,
    ) -> bool {
        let now = match client.access_token() {
            Token::Fixed(token) => Some(TokenFingerprint::of(token)),
            Token::Provided(provider) => {
                let mut answer = pin!(self.ask(&**provider));
                let patience = Instant::now() + PATIENCE;
                match answer.as_mut().now_or_never() {
                    Some(answer) => answer,
                    // Outside of a runtime there is no timer to end the wait.
                    None if Handle::try_current().is_err() => None,
                    None => {
                        let ends_at = ends_at.map_or(patience, |ends_at| ends_at.min(patience));
                        timeout_at(ends_at, answer).await.ok().flatten()
                    }
                }
            }
        };
        now.is_none_or(|now| now == failed)
    }

    async fn ask(&self, provider: &dyn SecretProvider) -> Option<TokenFingerprint> {
        let answers = self.answers.load(Ordering::Relaxed);
        let mut answer = self.answer.lock().await;
        if self.answers.load(Ordering::Relaxed) == answers {
            *answer = ask(provider).await;
            self.answers.fetch_add(1, Ordering::Relaxed);
        }
        *answer
    }
}

/// The fingerprint of what a provider has now. `None` if it fails or panics.
async fn ask(provider: &dyn SecretProvider) -> Option<TokenFingerprint> {
    let mut secret = pin!(async { provider.secret(None).await });
    let secret =
        poll_fn(
            |context| match catch_unwind(AssertUnwindSafe(|| secret.as_mut().poll(context))) {
                Ok(Poll::Pending) => Poll::Pending,
                Ok(Poll::Ready(secret)) => Poll::Ready(secret.ok()),
                Err(_) => Poll::Ready(None),
            },
        );
    let secret = header_safe(secret.await?, "token that the provider gave").ok()?;
    Some(TokenFingerprint::of(&secret))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{RotatingSecret, Secret, SecretFuture};

    fn client(provider: impl SecretProvider) -> Client<StoreAccess> {
        Client::builder()
            .credentials(StoreAccess::from_provider("abc123", provider).unwrap())
            .build()
            .unwrap()
    }

    fn fingerprint(token: &str) -> TokenFingerprint {
        TokenFingerprint::of(&token.into())
    }

    /// What a provider does when it is asked.
    #[derive(Debug, Clone, Copy)]
    enum Does {
        Wait(Duration),
        Fail,
        Panic,
        Give(&'static str),
    }

    #[derive(Debug)]
    struct Provider {
        does: Does,
        asked: Arc<AtomicU64>,
    }

    impl SecretProvider for Provider {
        fn secret<'a>(&'a self, _: Option<&'a Secret>) -> SecretFuture<'a> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            Box::pin(async {
                match self.does {
                    Does::Wait(time) => tokio::time::sleep(time).await,
                    Does::Fail => return Err("the vault is sealed".into()),
                    Does::Panic => panic!("the provider of this test panics"),
                    Does::Give(token) => return Ok(token.into()),
                }
                Ok("new".into())
            })
        }
    }

    fn provider(does: Does) -> (Client<StoreAccess>, Arc<AtomicU64>) {
        let asked = Arc::new(AtomicU64::new(0));
        let provider = Provider {
            does,
            asked: Arc::clone(&asked),
        };
        (client(provider), asked)
    }

    #[test]
    fn a_fixed_token_and_one_that_rotates_are_known_at_once_and_without_a_runtime() {
        let current = CurrentAccessToken::default();
        let is = |token, client| current.is(fingerprint(token), client, None).now_or_never();
        let fixed = Client::new("abc123", "old").unwrap();
        assert_eq!(is("old", &fixed), Some(true));
        assert_eq!(is("new", &fixed), Some(false));
        let token = RotatingSecret::new("old");
        let rotating = client(token.clone());
        assert_eq!(is("old", &rotating), Some(true));
        token.set("new");
        assert_eq!(is("old", &rotating), Some(false));
        assert_eq!(is("new", &rotating), Some(true));
        // Nobody would wait for this one.
        let (slow, _) = provider(Does::Wait(PATIENCE));
        assert_eq!(is("old", &slow), Some(true));
    }

    #[tokio::test(start_paused = true)]
    async fn a_provider_that_does_not_say_leaves_the_failure_as_it_is() {
        let began = tokio::time::Instant::now();
        for (does, still_counts) in [
            (Does::Wait(PATIENCE / 2), false),
            (Does::Wait(PATIENCE * 2), true),
            (Does::Fail, true),
            (Does::Panic, true),
            (Does::Give("no\nheader"), true),
            (Does::Give("old"), true),
            (Does::Give("new"), false),
        ] {
            let (client, asked) = provider(does);
            let current = CurrentAccessToken::default();
            let counts = current.is(fingerprint("old"), &client, None).await;
            assert_eq!(counts, still_counts, "{does:?}");
            assert_eq!(asked.load(Ordering::Relaxed), 1);
        }
        assert!(began.elapsed() < PATIENCE * 2);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_no_longer_than_that_is_told_in_time() {
        let (client, _) = provider(Does::Wait(PATIENCE / 2));
        let current = CurrentAccessToken::default();
        let ends_at = Instant::now() + PATIENCE / 4;
        assert!(current.is(fingerprint("old"), &client, Some(ends_at)).await);
        assert_eq!(Instant::now(), ends_at);
        // The next one asks anew, and has longer.
        let ends_at = Instant::now() + PATIENCE * 4;
        assert!(!current.is(fingerprint("old"), &client, Some(ends_at)).await);
    }

    #[tokio::test(start_paused = true)]
    async fn many_at_once_ask_a_provider_once_and_the_next_one_asks_again() {
        let (client, asked) = provider(Does::Wait(PATIENCE / 2));
        let current = CurrentAccessToken::default();
        let is = || current.is(fingerprint("old"), &client, None);
        let all = futures_util::future::join_all((0..100).map(|_| is())).await;
        assert!(all.iter().all(|still_counts| !still_counts));
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        assert!(!is().await);
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }
}

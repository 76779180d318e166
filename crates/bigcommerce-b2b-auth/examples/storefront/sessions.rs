//! Who is logged in: random session ids in a cookie that scripts cannot read, and what they stand for, here in memory. A shop of
//! several processes keeps the same in a store that they share.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::http::{HeaderMap, HeaderValue, header};

use crate::shop::Shopper;

/// How long a log in lasts.
const LIFE: Duration = Duration::from_secs(8 * 60 * 60);

/// How many there may be. Whoever logs in beyond that takes the place of the oldest.
const MOST: usize = 10_000;

/// Everybody who is logged in. Cheap to clone, and clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Sessions(Arc<Mutex<HashMap<SessionId, Session>>>);

struct Session {
    shopper: Arc<Shopper>,
    began: Instant,
}

/// 128 random bits: what whoever shows it is taken for. It has no `Debug`, so that no log gets to see one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct SessionId(u128);

impl Sessions {
    /// Logs a shopper in. The id is a new one for every log in, so that nobody can have planted it before.
    pub(crate) fn begin(
        &self,
        shopper: Arc<Shopper>,
        now: Instant,
    ) -> Result<SessionId, getrandom::Error> {
        let mut bits = [0; 16];
        getrandom::fill(&mut bits)?;
        let id = SessionId(u128::from_be_bytes(bits));
        let mut sessions = self.lock();
        if sessions.len() >= MOST {
            sessions.retain(|_, session| session.is_valid(now));
        }
        if sessions.len() >= MOST {
            let oldest = sessions.iter().min_by_key(|(_, session)| session.began);
            if let Some(id) = oldest.map(|(id, _)| *id) {
                sessions.remove(&id);
            }
        }
        let began = now;
        sessions.insert(id, Session { shopper, began });
        Ok(id)
    }

    /// Who has logged in under this id, if that is still so.
    pub(crate) fn shopper(&self, id: SessionId, now: Instant) -> Option<Arc<Shopper>> {
        let sessions = self.lock();
        let session = sessions.get(&id).filter(|session| session.is_valid(now))?;
        Some(Arc::clone(&session.shopper))
    }

    /// Logs out: here, where it counts, whatever becomes of the cookie.
    pub(crate) fn end(&self, id: SessionId) {
        self.lock().remove(&id);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    fn is_valid(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.began) < LIFE
    }
}

impl SessionId {
    /// The id in the cookies of a request.
    pub(crate) fn of_request(headers: &HeaderMap) -> Option<Self> {
        headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|cookies| cookies.to_str().ok())
            .flat_map(|cookies| cookies.split(';'))
            .find_map(|cookie| cookie.trim().strip_prefix("session="))
            .filter(|id| id.len() == 32)
            .and_then(|id| u128::from_str_radix(id, 16).ok())
            .map(Self)
    }

    /// The cookie that keeps the id in the browser: out of reach of scripts, and not sent along when another site sends the
    /// shopper here. Behind https add `Secure`, and call it `__Host-session`, which only this host can set.
    pub(crate) fn cookie(self) -> HeaderValue {
        let (id, life) = (self.0, LIFE.as_secs());
        sensitive(format!(
            "session={id:032x}; Path=/; HttpOnly; SameSite=Strict; Max-Age={life}"
        ))
    }

    /// The cookie that removes it.
    pub(crate) fn no_cookie() -> HeaderValue {
        sensitive("session=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0".to_owned())
    }
}

/// A header that logs of headers leave out.
fn sensitive(cookie: String) -> HeaderValue {
    let mut value = HeaderValue::try_from(cookie).unwrap_or(HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use super::*;

    fn shopper() -> Arc<Shopper> {
        Arc::new(Shopper {
            email: "a@shop.example".to_owned(),
            name: "A".to_owned(),
            customer: bigcommerce_b2b_auth::CustomerId::new(1).unwrap(),
        })
    }

    #[test]
    fn a_session_lasts_until_its_end_or_a_log_out() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let first = sessions.begin(shopper(), now).unwrap();
        let second = sessions.begin(shopper(), now).unwrap();
        assert!(first != second);
        sessions.end(first);
        assert!(sessions.shopper(first, now).is_none());
        let later = now + LIFE;
        assert!(
            sessions
                .shopper(second, later - Duration::from_secs(1))
                .is_some()
        );
        assert!(sessions.shopper(second, later).is_none());
    }

    #[test]
    fn there_are_never_more_than_may_be() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let oldest = sessions.begin(shopper(), now).unwrap();
        let later = now + Duration::from_secs(1);
        let second = sessions.begin(shopper(), later).unwrap();
        for _ in 2..=MOST {
            sessions.begin(shopper(), later).unwrap();
        }
        assert_eq!(sessions.lock().len(), MOST);
        assert!(sessions.shopper(oldest, later).is_none());
        let after_all = later + LIFE;
        sessions.begin(shopper(), after_all).unwrap();
        assert_eq!(sessions.lock().len(), 1);
        assert!(sessions.shopper(second, after_all).is_none());
    }

    #[test]
    fn a_cookie_comes_back_as_the_id_that_it_was_made_of() {
        let id = SessionId(0xabc);
        let cookie = id.cookie();
        assert!(cookie.is_sensitive());
        let sent = cookie
            .to_str()
            .unwrap()
            .split(';')
            .next()
            .unwrap()
            .to_owned();
        let read = |cookies: &str| {
            let headers = HeaderMap::from_iter([(header::COOKIE, cookies.parse().unwrap())]);
            SessionId::of_request(&headers)
        };
        assert!(read(&format!("theme=dark; {sent}; a=b")) == Some(id));
        for other in ["", "session=", "session=abc", "sessions=x", &sent[1..]] {
            assert!(read(other).is_none(), "{other}");
        }
    }
}

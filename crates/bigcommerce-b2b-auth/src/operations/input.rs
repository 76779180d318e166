//! Arguments that several operations share, checked before anything is sent.
//! What is refused here would cost a request of the store's budget to be refused by the service.

use std::time::SystemTime;

use crate::{Error, Secret, token::bearer};

/// The optional times of a token that is asked for, as Unix seconds.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) begin_at: Option<i64>,
    pub(crate) end_at: Option<i64>,
}

impl Life {
    pub(crate) fn new(
        begin_at: Option<SystemTime>,
        end_at: Option<SystemTime>,
    ) -> Result<Self, Error> {
        let begin_at = begin_at.map(unix_seconds).transpose()?;
        let end_at = end_at.map(unix_seconds).transpose()?;
        if let (Some(begin_at), Some(end_at)) = (begin_at, end_at)
            && end_at <= begin_at
        {
            return Err(Error::invalid_input("end_at is not after begin_at"));
        }
        Ok(Self { begin_at, end_at })
    }
}

fn unix_seconds(time: SystemTime) -> Result<i64, Error> {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .ok()
        .and_then(|since_epoch| i64::try_from(since_epoch.as_secs()).ok())
        .ok_or_else(|| Error::invalid_input("a time lies before 1970 or beyond what can be sent"))
}

pub(crate) fn filled(called: &str, text: String) -> Result<String, Error> {
    if text.trim().is_empty() {
        return Err(Error::invalid_input(format!("the {called} is empty")));
    }
    Ok(text)
}

pub(crate) fn filled_secret<'s>(called: &str, secret: &'s Secret) -> Result<&'s Secret, Error> {
    if secret.is_empty() {
        return Err(Error::invalid_input(format!("the {called} is empty")));
    }
    within_bounds(called, secret)?;
    Ok(secret)
}

/// Refuses a secret that is longer than any token of the service.
pub(crate) fn within_bounds(called: &str, secret: &Secret) -> Result<(), Error> {
    if bearer::is_too_long(secret.expose_secret()) {
        return Err(Error::invalid_input(format!(
            "the {called} is longer than 16 KiB"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_life_that_ends_before_it_begins_is_refused() {
        let at = |seconds| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        let life = Life::new(at(1000), at(2000)).unwrap();
        assert_eq!((life.begin_at, life.end_at), (Some(1000), Some(2000)));
        assert!(Life::new(at(2000), at(2000)).is_err());
        assert!(Life::new(Some(SystemTime::UNIX_EPOCH - Duration::from_secs(1)), None).is_err());
        assert!(Life::new(None, None).is_ok());
    }
}

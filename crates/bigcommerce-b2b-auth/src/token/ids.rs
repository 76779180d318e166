//! Identifiers of the service as types, so that a channel cannot be passed for a customer.
//! Each is a whole number from 1; anything else is refused before a request is made.

use std::{fmt, num::NonZeroU32, str::FromStr};

use crate::Error;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $called:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(i64);

        impl $name {
            #[doc = concat!("Takes a ", $called, " as the service writes it.")]
            ///
            /// # Errors
            /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) when it is 0 or negative.
            pub fn new(id: impl TryInto<i64>) -> Result<Self, Error> {
                match id.try_into() {
                    Ok(id) if id >= 1 => Ok(Self(id)),
                    Ok(id) => Err(Error::invalid_input(format!(
                        concat!("a ", $called, " is a whole number from 1, and {} is not"),
                        id
                    ))),
                    Err(_) => Err(Error::invalid_input(concat!(
                        "a ",
                        $called,
                        " is a whole number that fits 63 bits, and this one does not"
                    ))),
                }
            }

            /// The number itself, 1 or more.
            #[must_use]
            pub const fn get(self) -> i64 {
                self.0
            }
        }

        impl From<NonZeroU32> for $name {
            fn from(id: NonZeroU32) -> Self {
                Self(i64::from(id.get()))
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self, Error> {
                // The text itself stays out of the message: it may be anything, also a secret in the wrong place, and a
                // number as well as a word.
                let id = text.trim().parse::<i64>();
                id.ok().filter(|id| *id >= 1).map(Self).ok_or_else(|| {
                    Error::invalid_input(concat!(
                        "a ",
                        $called,
                        " is a whole number from 1, and this text is none"
                    ))
                })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id! {
    /// The BigCommerce customer id of a shopper or a Company user.
    ///
    /// ```
    /// use bigcommerce_b2b_auth::CustomerId;
    ///
    /// assert_eq!(CustomerId::new(42)?.get(), 42);
    /// assert!(CustomerId::new(0).is_err());
    /// # Ok::<(), bigcommerce_b2b_auth::Error>(())
    /// ```
    CustomerId, "customer id"
}

id! {
    /// The id of a storefront channel. A store's first storefront is channel 1.
    ChannelId, "channel id"
}

id! {
    /// The id of a server-to-server token, as the list of tokens gives it.
    ServerTokenId, "server token id"
}

#[cfg(feature = "tokens")]
impl CustomerId {
    /// One that was checked before it went into a key of the cache.
    pub(crate) const fn of_key(id: i64) -> Self {
        Self(id)
    }
}

#[cfg(feature = "tokens")]
impl ChannelId {
    /// One that was checked before it went into a key of the cache.
    pub(crate) const fn of_key(id: i64) -> Self {
        Self(id)
    }
}

impl ChannelId {
    /// The first storefront of a store.
    pub const DEFAULT: Self = Self(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_and_negative_numbers_are_refused() {
        assert!(CustomerId::new(u64::MAX).is_err());
        for bad in [0, -1, i64::MIN] {
            let error = CustomerId::new(bad).unwrap_err();
            assert!(error.to_string().contains(&bad.to_string()), "{error}");
        }
        assert_eq!(CustomerId::new(i64::MAX).unwrap().get(), i64::MAX);
    }

    #[test]
    fn text_is_read_as_a_number_and_never_repeated() {
        assert_eq!(" 7 ".parse::<ChannelId>().unwrap().get(), 7);
        let error = "hunter2".parse::<ChannelId>().unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}

//! The known ways to get this service's setup wrong, told apart by what it answers, each with the way out.

use std::fmt;

use bigcommerce_b2b_auth_api::{Operation, operations};

use crate::ErrorKind;

/// What to do about a failure, for the misconfigurations that are known. `Display` is a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Hint {
    /// The access token's API account lacks the B2B Edition scope.
    MissingScope,
    /// A storefront token was sent where an access token belongs.
    WrongKindOfToken,
    /// The store hash is wrong: the service answers that with a server error.
    WrongStoreHash,
    /// The base URL has the path `/api/v3/io`.
    WrongBasePath,
    /// The backend user's role may not create server tokens.
    RoleForbidden,
    /// The e-mail address and the password do not belong together.
    BadLogin,
    /// The session JWT is missing, expired or of another store.
    BadSessionJwt,
    /// The legacy `authToken` was not accepted.
    BadLegacyToken,
    /// The store's budget is spent, by this client or another one.
    BudgetSpent,
    /// The service points elsewhere.
    Redirect,
}

/// What is known of a call that the service refused.
pub(crate) struct Refusal<'r> {
    pub(crate) kind: ErrorKind,
    pub(crate) operation: &'r Operation,
    /// The credential headers that were sent.
    pub(crate) sends: &'r [&'r str],
    /// The path of the base URL.
    pub(crate) base_path: &'r str,
    /// What the body said, the specific word and the general one.
    pub(crate) words: [Option<String>; 2],
}

impl Refusal<'_> {
    fn says(&self, words: &str) -> bool {
        self.words
            .iter()
            .flatten()
            .any(|said| said.to_ascii_lowercase().contains(words))
    }

    fn is_of(&self, operation: &Operation) -> bool {
        self.operation.id == operation.id
    }

    fn sends(&self, header: &str) -> bool {
        self.sends.contains(&header)
    }
}

impl Hint {
    /// Goes by operation, status and words together: each alone means too many things here.
    pub(crate) fn of_reply(refusal: &Refusal<'_>) -> Option<Self> {
        let logs_in = refusal.is_of(&operations::POST_AUTH_CUSTOMER)
            || refusal.is_of(&operations::POST_AUTH_BACKEND);
        match refusal.kind {
            ErrorKind::Unauthenticated if refusal.is_of(&operations::GET_AUTH_STOREFRONT) => {
                Some(Self::BadSessionJwt)
            }
            ErrorKind::Unauthenticated | ErrorKind::Forbidden if refusal.sends("authToken") => {
                Some(Self::BadLegacyToken)
            }
            ErrorKind::Forbidden
                if refusal.sends("X-Auth-Token") && refusal.says("invalid access token") =>
            {
                Some(Self::MissingScope)
            }
            ErrorKind::Forbidden
                if refusal.sends("X-Auth-Token") && refusal.says("invalid token") =>
            {
                Some(Self::WrongKindOfToken)
            }
            ErrorKind::NotFound if refusal.base_path.starts_with("/api/v3/io") => {
                Some(Self::WrongBasePath)
            }
            ErrorKind::Server if refusal.sends("X-Store-Hash") => Some(Self::WrongStoreHash),
            ErrorKind::Rejected
                if refusal.is_of(&operations::POST_AUTH_BACKEND)
                    && refusal.says("role forbidden") =>
            {
                Some(Self::RoleForbidden)
            }
            ErrorKind::Rejected
                if logs_in
                    && (refusal.says("email or password")
                        || refusal.says("customer auth failed")) =>
            {
                Some(Self::BadLogin)
            }
            ErrorKind::RateLimited => Some(Self::BudgetSpent),
            ErrorKind::Redirected => Some(Self::Redirect),
            _ => None,
        }
    }
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MissingScope => {
                "Give the API account of this access token the B2B Edition scope \"modify\", and check that the token \
                 belongs to this store"
            }
            Self::WrongKindOfToken => {
                "A storefront token was sent where the store's access token belongs"
            }
            Self::WrongStoreHash => {
                "If it does not pass: a wrong store hash answers with a server error too, so check it"
            }
            Self::WrongBasePath => {
                "The base path is /api/io: /api/v3/io, which one of the vendor's pages names, does not exist"
            }
            Self::RoleForbidden => {
                "Server tokens are created by a backend user with the role Administrator or Store Owner; a custom role \
                 does not do"
            }
            Self::BadLogin => "Check the e-mail address and the password, and that the user is of this store",
            Self::BadSessionJwt => {
                "Get a new session JWT: one is valid for 15 minutes, in the store that issued it"
            }
            Self::BadLegacyToken => {
                "Check that this authToken is of this store and was not deleted; an access token or a storefront token does \
                 not do here"
            }
            Self::BudgetSpent => {
                "All integrations of a store share one budget of requests a minute: wait, and mint less often by keeping \
                 tokens until they expire"
            }
            Self::Redirect => {
                "Redirects are not followed, because they would carry credentials elsewhere: set the base URL to where \
                 the service is"
            }
        })
    }
}

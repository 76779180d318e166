//! The operations: one file for each, which has its method, path, credential and handler.
//! To add one: write its file, declare the file with `mod`, and give it a row in `operations!`.
//! (`mod` stands outside of the macro, because rustfmt does not look for files inside of one.)

mod create_server_token;
mod delete_server_token;
pub(crate) mod exchange;
mod list_server_tokens;
mod login;
mod mint;

use axum::http::Method;

use crate::assumptions::Assumptions;
use crate::call::Call;
use crate::header_rules::{StoreRule, optional_pair, refuse_mixture};
use crate::reply::{Refusal, Reply};
use crate::state::{StoreState, Stores};

/// The path below which all operations are. `/api/v3/io`, which one revision of the document named,
/// answers 404.
pub const BASE_PATH: &str = "/api/io";

/// Declares [`Operation`] from one row for each: its documentation, its variant and its file.
macro_rules! operations {
    ($($(#[$doc:meta])+ $variant:ident = $file:ident;)+) => {
        /// An operation of the service.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Operation {
            $($(#[$doc])+ $variant,)+
        }

        const COUNT: usize = [$(stringify!($variant)),+].len();
        const OPERATIONS: [Operation; COUNT] = [$(Operation::$variant),+];

        impl Operation {
            fn handler(self) -> &'static Handler {
                match self {
                    $(Self::$variant => &$file::OPERATION,)+
                }
            }
        }
    };
}

operations! {
    /// `POST /auth/customers/storefront`: mints a storefront token for a customer ID.
    Mint = mint;
    /// `POST /auth/customers`: a storefront token for a login.
    Login = login;
    /// `GET /auth/storefront`: a storefront token for the JWT of a storefront session.
    Exchange = exchange;
    /// `POST /auth/backend`: creates a legacy server token.
    CreateServerToken = create_server_token;
    /// `DELETE /auth/backend`: deletes a legacy server token.
    DeleteServerToken = delete_server_token;
    /// `GET /backend/tokens`: lists the legacy server tokens.
    ListServerTokens = list_server_tokens;
}

/// What an operation's file says about it, in its `OPERATION`.
struct Handler {
    /// The `operationId` in the vendor's document.
    operation_id: &'static str,
    method: Method,
    /// The whole path, [`BASE_PATH`] included.
    path: &'static str,
    credential: Credential,
}

/// The credential that lets a request in, and the function that answers the request then.
enum Credential {
    /// A credential in the headers.
    Headers {
        /// Checks the headers, and finds the store that they belong to.
        store: StoreRule,
        handle: fn(&Call<'_>, &mut StoreState) -> Result<Reply, Refusal>,
    },
    /// A login in the body, which names the store as well. Headers that are sent must be right.
    BodyLogin {
        headers_required: fn(&Assumptions) -> bool,
        handle: fn(&Call<'_>, &mut Stores) -> Result<Reply, Refusal>,
    },
}

/// Why a request belongs to no operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unrouted {
    UnknownPath,
    /// The path is known; these methods are the ones that it takes, as the `Allow` header has them.
    MethodNotAllowed(String),
}

impl Operation {
    /// All operations. A later version may have more of them.
    pub const ALL: [Self; COUNT] = OPERATIONS;

    /// The `operationId` in the vendor's document.
    #[must_use]
    pub fn operation_id(self) -> &'static str {
        self.handler().operation_id
    }

    /// The HTTP method.
    #[must_use]
    pub fn method(self) -> Method {
        self.handler().method.clone()
    }

    /// The whole path, [`BASE_PATH`] included.
    #[must_use]
    pub fn path(self) -> &'static str {
        self.handler().path
    }

    /// Whether the body names the store, together with a login.
    pub(crate) fn has_body_login(self) -> bool {
        matches!(self.handler().credential, Credential::BodyLogin { .. })
    }

    /// The operation that a request asks for. Paths match byte for byte: a doubled or a trailing
    /// slash is another path.
    pub(crate) fn route(method: &Method, path: &str) -> Result<Self, Unrouted> {
        let on_path = || {
            Self::ALL
                .into_iter()
                .filter(|operation| operation.path() == path)
        };
        if let Some(operation) = on_path().find(|operation| operation.method() == *method) {
            return Ok(operation);
        }
        let allowed: Vec<_> = on_path()
            .map(|operation| operation.method().to_string())
            .collect();
        if allowed.is_empty() {
            return Err(Unrouted::UnknownPath);
        }
        Err(Unrouted::MethodNotAllowed(allowed.join(", ")))
    }

    /// Checks the credential of a request to this operation, and answers the request.
    pub(crate) fn answer(self, call: &Call<'_>, stores: &mut Stores) -> Result<Reply, Refusal> {
        refuse_mixture(call.headers)?;
        match self.handler().credential {
            Credential::Headers { store, handle } => handle(call, store(call, stores)?),
            Credential::BodyLogin {
                headers_required,
                handle,
            } => {
                optional_pair(call, stores, headers_required(call.assumptions))?;
                handle(call, stores)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_finds_itself() {
        for operation in Operation::ALL {
            assert_eq!(
                Operation::route(&operation.method(), operation.path()),
                Ok(operation)
            );
            assert!(operation.path().starts_with(BASE_PATH));
        }
    }

    #[test]
    fn other_paths_and_methods_are_told_apart() {
        for path in [
            "/",
            "",
            "/api/io",
            "/api/io//auth/customers",
            "/api/io/auth/customers/",
            "/api/v3/io/auth/customers",
        ] {
            assert_eq!(
                Operation::route(&Method::POST, path),
                Err(Unrouted::UnknownPath),
                "{path}"
            );
        }
        for (path, allow) in [
            ("/api/io/auth/customers", "POST"),
            ("/api/io/auth/storefront", "GET"),
            ("/api/io/auth/backend", "POST, DELETE"),
        ] {
            assert_eq!(
                Operation::route(&Method::PATCH, path),
                Err(Unrouted::MethodNotAllowed(allow.to_owned())),
                "{path}"
            );
        }
    }
}

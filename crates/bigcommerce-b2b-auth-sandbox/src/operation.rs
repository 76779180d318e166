//! The six operations: their names, methods and paths, in the one table that routing and
//! recording share. What each of them does is in `operations/`.

use axum::http::Method;

/// Where all six operations live. `/api/v3/io`, which one revision of the document named, answers
/// 404.
pub const BASE_PATH: &str = "/api/io";

/// One of the six operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// `POST /auth/customers/storefront`: a storefront token by customer id.
    Mint,
    /// `POST /auth/customers`: a storefront token by login.
    Login,
    /// `GET /auth/storefront`: a storefront token for the JWT of a storefront session.
    Exchange,
    /// `POST /auth/backend`: a legacy server token.
    CreateServerToken,
    /// `DELETE /auth/backend`: deletes a legacy server token.
    DeleteServerToken,
    /// `GET /backend/tokens`: lists the legacy server tokens.
    ListServerTokens,
}

/// Why a request belongs to no operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unrouted {
    UnknownPath,
    /// The path is known; these methods are the ones that it takes, as the `Allow` header has them.
    MethodNotAllowed(String),
}

impl Operation {
    /// All six.
    pub const ALL: [Self; 6] = [
        Self::Mint,
        Self::Login,
        Self::Exchange,
        Self::CreateServerToken,
        Self::DeleteServerToken,
        Self::ListServerTokens,
    ];

    /// The `operationId` in the vendor's document.
    #[must_use]
    pub fn operation_id(self) -> &'static str {
        match self {
            Self::Mint => "post-auth-customers-storefront",
            Self::Login => "post-auth-customer",
            Self::Exchange => "get-auth-storefront",
            Self::CreateServerToken => "post-auth-backend",
            Self::DeleteServerToken => "delete-auth-backend",
            Self::ListServerTokens => "get-backend-tokens",
        }
    }

    /// The HTTP method.
    #[must_use]
    pub fn method(self) -> Method {
        match self {
            Self::Mint | Self::Login | Self::CreateServerToken => Method::POST,
            Self::DeleteServerToken => Method::DELETE,
            Self::Exchange | Self::ListServerTokens => Method::GET,
        }
    }

    /// The whole path, [`BASE_PATH`] included.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Mint => "/api/io/auth/customers/storefront",
            Self::Login => "/api/io/auth/customers",
            Self::Exchange => "/api/io/auth/storefront",
            Self::CreateServerToken | Self::DeleteServerToken => "/api/io/auth/backend",
            Self::ListServerTokens => "/api/io/backend/tokens",
        }
    }

    /// Whether the request carries a JSON body.
    pub(crate) fn has_body(self) -> bool {
        matches!(
            self,
            Self::Mint | Self::Login | Self::CreateServerToken | Self::DeleteServerToken
        )
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

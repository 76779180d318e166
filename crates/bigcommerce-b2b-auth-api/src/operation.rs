//! What document and overlay say of an operation beyond its types: transports and retries choose by it.
//! The table itself ([`crate::operations`]) is generated beside the client.

/// One operation of the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Operation {
    /// The document's `operationId`, such as `post-auth-backend`.
    pub id: &'static str,
    /// The method of [`Client`](crate::Client) that sends it, such as `post_auth_backend`.
    pub rust_name: &'static str,
    /// The SDK's name for it, such as `mint_storefront_token`; the id in snake case if the overlay gives no name.
    pub name: &'static str,
    /// The HTTP method in capitals.
    pub method: &'static str,
    /// The path below the base URL, with a leading slash.
    pub path: &'static str,
    /// The one success status that the generated method parses. The service may answer another 2xx: a transport that
    /// wants it parsed gives its response this status.
    pub success_status: u16,
    /// Whether the document marks the operation as deprecated.
    pub deprecated: bool,
    /// Whether a repetition of a request that may have been applied does no harm.
    pub is_repeatable: bool,
    /// Whether the service's own "not found" after an attempt that may have been applied means that the operation is done, as
    /// for a deletion.
    pub absent_is_done: bool,
    /// Where a success returns the token that the operation issues, as member names from the root. A list on the way stands for
    /// its first element. `None` for an operation that issues no token.
    pub issued_token: Option<&'static [&'static str]>,
    /// Alternative sets of credential headers, best first. An empty set means that the operation can go without.
    pub credentials: &'static [&'static [&'static str]],
}

impl Operation {
    /// The first alternative of [`credentials`](Self::credentials) whose headers are all at hand.
    ///
    /// `None` means that the operation cannot be sent with what there is.
    ///
    /// ```
    /// use bigcommerce_b2b_auth_api::operations::GET_BACKEND_TOKENS;
    ///
    /// let legacy = GET_BACKEND_TOKENS.choose_credentials(|header| header == "authToken");
    /// assert_eq!(legacy, Some(&["authToken"][..]));
    /// assert_eq!(GET_BACKEND_TOKENS.choose_credentials(|header| header == "X-Auth-Token"), None);
    /// ```
    #[must_use]
    pub fn choose_credentials(
        &self,
        at_hand: impl Fn(&str) -> bool,
    ) -> Option<&'static [&'static str]> {
        self.credentials
            .iter()
            .copied()
            .find(|headers| headers.iter().all(|header| at_hand(header)))
    }
}

//! Hints: known misconfigurations, recognised by the service's response, each with its remedy.

use std::fmt;

use bigcommerce_b2b_auth_api::{Operation, operations};

use crate::{ErrorKind, pipeline::base_url::BASE_PATH};

/// What to do about a failure, for the misconfigurations that are known. `Display` is a sentence, and
/// [`link`](Self::link) leads to the section about it in [`troubleshooting`](crate::troubleshooting).
///
/// A hint is a conclusion from what the service answered, and no more certain than that: the section says what it rests
/// on. A failure without a hint is one that the reply says too little about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Hint {
    /// The access token was not accepted.
    WrongAccessToken,
    /// The access token's API account lacks the B2B Edition scope.
    MissingScope,
    /// A storefront token was sent where an access token belongs.
    WrongKindOfToken,
    /// A customer access token was sent where an access token belongs.
    CustomerAccessTokenSent,
    /// The store hash is written as a path or a URL.
    StoreHashFormat,
    /// The store hash may be wrong: the service answers that with a server error.
    WrongStoreHash,
    /// The base URL has the path `/api/v3/io`.
    WrongBasePath,
    /// The legacy `authToken` and a header of the current pair are there together.
    BothHeaderSets,
    /// The backend user's role may not create server tokens.
    RoleForbidden,
    /// The e-mail address and the password do not belong together.
    BadLogin,
    /// The session JWT is missing, expired or of another store.
    BadSessionJwt,
    /// The session JWT was issued for another app client ID.
    SessionJwtOfAnotherApp,
    /// The store may not have the customer.
    UnknownCustomer,
    /// The channel is wrong or not live.
    ChannelNotLive,
    /// The customer's company is pending approval or inactive.
    CompanyNotActive,
    /// The sales representative is not assigned to the company.
    SalesRepNotAssigned,
    /// A token went to the GraphQL API of the other host.
    WrongGraphqlHost,
    /// The legacy `authToken` was not accepted.
    BadLegacyToken,
    /// The store's budget is spent, by this client or another one.
    BudgetSpent,
    /// The service points elsewhere.
    Redirect,
}

/// The page that all links lead to, with the anchor of a section.
macro_rules! section {
    ($anchor:literal) => {
        concat!(
            "https://docs.rs/bigcommerce-b2b-auth/latest/bigcommerce_b2b_auth/troubleshooting/index.html#",
            $anchor
        )
    };
}

impl Hint {
    /// The address of the section of this crate's documentation that says why it happens, what to do, and how to see it
    /// happen without the service.
    ///
    /// ```
    /// use bigcommerce_b2b_auth::Hint;
    ///
    /// assert!(Hint::MissingScope.link().ends_with("/troubleshooting/index.html#missing-scope"));
    /// ```
    #[must_use]
    pub fn link(self) -> &'static str {
        match self {
            Self::WrongAccessToken => section!("wrong-access-token"),
            Self::MissingScope => section!("missing-scope"),
            Self::WrongKindOfToken => section!("wrong-kind-of-token"),
            Self::CustomerAccessTokenSent => section!("customer-access-token-sent"),
            Self::StoreHashFormat => section!("store-hash-format"),
            Self::WrongStoreHash => section!("wrong-store-hash"),
            Self::WrongBasePath => section!("wrong-base-path"),
            Self::BothHeaderSets => section!("both-header-sets"),
            Self::RoleForbidden => section!("role-forbidden"),
            Self::BadLogin => section!("bad-login"),
            Self::BadSessionJwt => section!("bad-session-jwt"),
            Self::SessionJwtOfAnotherApp => section!("session-jwt-of-another-app"),
            Self::UnknownCustomer => section!("unknown-customer"),
            Self::ChannelNotLive => section!("channel-not-live"),
            Self::CompanyNotActive => section!("company-not-active"),
            Self::SalesRepNotAssigned => section!("sales-rep-not-assigned"),
            Self::WrongGraphqlHost => section!("wrong-graphql-host"),
            Self::BadLegacyToken => section!("bad-legacy-token"),
            Self::BudgetSpent => section!("budget-spent"),
            Self::Redirect => section!("redirect"),
        }
    }

    /// The anchor in [`link`](Self::link), such as `missing-scope`: a name that stays, to count or to alert by.
    #[must_use]
    pub fn section(self) -> &'static str {
        self.link().split_once('#').map_or("", |(_, anchor)| anchor)
    }
}

/// What a token looks like, as far as the known kinds differ. Nothing of the token itself is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenForm {
    /// Three parts with dots between, of which the first begins like a JSON object: a storefront token or a server token.
    Jwt,
    /// 64 hexadecimal digits, an underscore and digits, as the vendor's examples of customer access tokens have it.
    CustomerAccessToken,
    Other,
}

impl TokenForm {
    pub(crate) fn of(token: &str) -> Self {
        let is_jwt = token.starts_with("eyJ") && token.split('.').count() == 3;
        let is_cat = token.split_once('_').is_some_and(|(hash, expiry)| {
            hash.len() == 64
                && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
                && !expiry.is_empty()
                && expiry.bytes().all(|byte| byte.is_ascii_digit())
        });
        match (is_jwt, is_cat) {
            (true, _) => Self::Jwt,
            (false, true) => Self::CustomerAccessToken,
            (false, false) => Self::Other,
        }
    }
}

/// What is known of a call that the service refused.
pub(crate) struct RefusedResponse<'r> {
    pub(crate) kind: ErrorKind,
    /// The status that was meant: the body's code, where the status is one of success.
    pub(crate) status: u16,
    pub(crate) operation: &'r Operation,
    /// The credential headers that were sent.
    pub(crate) sends: &'r [&'r str],
    /// What the token among them looks like.
    pub(crate) token: TokenForm,
    /// The path of the base URL.
    pub(crate) base_path: &'r str,
    /// Whether the body is JSON. A proxy in front of the service answers with anything else.
    pub(crate) is_json: bool,
    /// What the body said, the specific word and the general one.
    pub(crate) words: [Option<String>; 2],
}

impl RefusedResponse<'_> {
    /// Whether the body says this, as a sentence of its own or as the beginning of all that it says. A longer sentence that
    /// begins alike is another message: "Invalid token header. …" is not "Invalid token".
    fn says(&self, sentence: &str) -> bool {
        self.words
            .iter()
            .flatten()
            // Messages that came as a list or by field were joined by these.
            .flat_map(|said| said.split([':', ';']))
            .filter_map(|said| {
                let said = said.trim_start();
                let (head, rest) = said.split_at_checked(sentence.len())?;
                head.eq_ignore_ascii_case(sentence).then_some(rest)
            })
            .any(|rest| rest.trim_end().is_empty() || rest.starts_with(['.', '!']))
    }

    /// Whether one of the body's words begins with this, in any case.
    fn begins(&self, beginning: &str) -> bool {
        self.words
            .iter()
            .flatten()
            .any(|said| said.split([':', ';']).any(|said| begins(said, beginning)))
    }

    /// Whether the body names both kinds of credential headers.
    ///
    /// A mixture can neither be seen before it is sent nor known by its answer. What adds the other kind is a transport of
    /// the caller's own, or a default header of the caller's `reqwest::ClientBuilder`, which cannot be asked for them and
    /// puts them in when the request is out of our hands. And all that is known of the answer is that it is unexpected.
    /// What is left is a reply that speaks of both: a client sends one kind, and has no business with the other.
    fn names_both_header_sets(&self) -> bool {
        let names = |header| {
            self.words
                .iter()
                .flatten()
                .any(|said| said.to_ascii_lowercase().contains(header))
        };
        names("authtoken") && (names("x-auth-token") || names("x-store-hash"))
    }

    fn is_of(&self, operation: &Operation) -> bool {
        self.operation.id == operation.id
    }

    fn sends(&self, header: &str) -> bool {
        self.sends.contains(&header)
    }

    /// Whether the base URL has the path that the vendor's page names, or one below or above it.
    fn is_below_v3(&self) -> bool {
        let mut path = self.base_path.split('/').filter(|part| !part.is_empty());
        path.next() == Some("api") && path.next() == Some("v3")
    }
}

/// Whether a text begins with this, in any case.
fn begins(text: &str, beginning: &str) -> bool {
    text.trim_start()
        .get(..beginning.len())
        .is_some_and(|head| head.eq_ignore_ascii_case(beginning))
}

/// The hint for words that mean the same in whichever answer they come, of these calls and of the storefront APIs.
fn of_words(begins: impl Fn(&str) -> bool) -> Option<Hint> {
    if begins("your business account is pending approval")
        || begins("this business account is inactive")
    {
        Some(Hint::CompanyNotActive)
    } else if begins("operation cannot be performed as the storefront channel is not live") {
        Some(Hint::ChannelNotLive)
    } else {
        None
    }
}

impl Hint {
    /// The hint for what a storefront API answered: its status and its message.
    #[cfg(feature = "tokens")]
    pub(crate) fn of_storefront_response(status: u16, message: &str) -> Option<Self> {
        let begins = |beginning: &str| begins(message, beginning);
        match status {
            403 if begins("permission denied") => Some(Self::SalesRepNotAssigned),
            400 if begins("invalid companyid") => Some(Self::SalesRepNotAssigned),
            401 | 403 if begins("invalid credentials") => Some(Self::WrongGraphqlHost),
            _ if begins("string is not a jwt") || begins("jwt verification failed") => {
                Some(Self::WrongGraphqlHost)
            }
            _ => of_words(begins),
        }
    }

    /// Goes by operation, status and words together: each alone means too many things here.
    ///
    /// No rule rests on what is unknown of the service. Where its words are known, they decide, in whichever shape of body
    /// they come; where they are not, a body that is no JSON is taken for a proxy's, which knows nothing of credentials.
    pub(crate) fn of_reply(refusal: &RefusedResponse<'_>) -> Option<Self> {
        let logs_in = refusal.is_of(&operations::POST_AUTH_CUSTOMER)
            || refusal.is_of(&operations::POST_AUTH_BACKEND);
        let known_words = of_words(|beginning| refusal.begins(beginning));
        match refusal.kind {
            ErrorKind::RateLimited => Some(Self::BudgetSpent),
            ErrorKind::Redirected => Some(Self::Redirect),
            _ if refusal.names_both_header_sets() => Some(Self::BothHeaderSets),
            _ if known_words.is_some() => known_words,
            ErrorKind::Unauthenticated | ErrorKind::Forbidden | ErrorKind::Rejected
                if refusal.is_of(&operations::GET_AUTH_STOREFRONT)
                    && refusal.says("signature verification failed") =>
            {
                Some(Self::SessionJwtOfAnotherApp)
            }
            ErrorKind::Unauthenticated
                if refusal.is_of(&operations::GET_AUTH_STOREFRONT) && refusal.is_json =>
            {
                Some(Self::BadSessionJwt)
            }
            ErrorKind::Unauthenticated | ErrorKind::Forbidden
                if refusal.sends("authToken") && refusal.is_json =>
            {
                Some(Self::BadLegacyToken)
            }
            ErrorKind::Unauthenticated | ErrorKind::Forbidden
                if refusal.sends("X-Auth-Token")
                    && refusal.token == TokenForm::CustomerAccessToken
                    && refusal.is_json =>
            {
                Some(Self::CustomerAccessTokenSent)
            }
            ErrorKind::Unauthenticated if refusal.sends("X-Auth-Token") && refusal.is_json => {
                Some(match refusal.token {
                    TokenForm::Jwt => Self::WrongKindOfToken,
                    TokenForm::CustomerAccessToken | TokenForm::Other => Self::WrongAccessToken,
                })
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
            // An operation that did not find what it was asked for was found itself.
            ErrorKind::NotFound
                if refusal.is_below_v3() && !refusal.says("no matching token was found") =>
            {
                Some(Self::WrongBasePath)
            }
            // Behind another base path a gateway may have answered for an address that it does not know.
            ErrorKind::NotFound
                if refusal.is_of(&operations::POST_AUTH_CUSTOMERS_STOREFRONT)
                    && refusal.base_path == BASE_PATH
                    && refusal.is_json =>
            {
                Some(Self::UnknownCustomer)
            }
            // Only "a server error" is known of it: neither status nor body. A gateway's statuses with a body that is not the
            // service's own are left out, since they tell of a request that the service has not even looked at; a 500
            // without JSON is what the framework behind it answers when it fails.
            ErrorKind::Server
                if refusal.sends("X-Store-Hash")
                    && (refusal.is_json || !matches!(refusal.status, 502..=504)) =>
            {
                Some(Self::WrongStoreHash)
            }
            ErrorKind::Rejected
                if refusal.is_of(&operations::POST_AUTH_BACKEND)
                    && refusal.says("role forbidden") =>
            {
                Some(Self::RoleForbidden)
            }
            ErrorKind::Rejected
                if logs_in
                    && (refusal.says("the email or password you have entered is incorrect")
                        || refusal.says("customer auth failed")) =>
            {
                Some(Self::BadLogin)
            }
            _ => None,
        }
    }
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WrongAccessToken => {
                "Check that the access token is complete, was not deleted, and belongs to this store"
            }
            Self::MissingScope => {
                "Give the API account of this access token the B2B Edition scope \"modify\", and check that the token \
                 belongs to this store"
            }
            Self::WrongKindOfToken => {
                "Pass the access token of the store's API account: the service gives this answer to a storefront token"
            }
            Self::CustomerAccessTokenSent => {
                "Pass the access token of the store's API account: this is a customer access token, which only belongs in \
                 the request of a single mint"
            }
            Self::StoreHashFormat => {
                "Pass the store hash alone, such as abc123: it follows /stores/ in the path of an API account"
            }
            Self::WrongStoreHash => {
                "If this error persists, check the store hash: the service answers a wrong one with a server error"
            }
            Self::WrongBasePath => {
                "Use the base path /api/io: these operations do not exist below /api/v3/io, which one of the vendor's pages \
                 names"
            }
            Self::BothHeaderSets => {
                "Send one kind of credentials only, authToken or X-Auth-Token with X-Store-Hash: remove the other one from \
                 the environment, the default headers or the transport that adds it"
            }
            Self::RoleForbidden => {
                "Log in as a backend user with the role Administrator or Store Owner: custom roles cannot create server \
                 tokens"
            }
            Self::BadLogin => {
                "Check the e-mail address and the password, and that the user belongs to this store"
            }
            Self::BadSessionJwt => {
                "Get a new session JWT: it is valid for 15 minutes, and only in the store that issued it"
            }
            Self::SessionJwtOfAnotherApp => {
                "Request the session JWT with the app client ID that B2B Edition uses in this store: the signature of \
                 a JWT for any other app cannot be verified"
            }
            Self::UnknownCustomer => {
                "Check that a customer with this ID and the channel exist in this store"
            }
            Self::ChannelNotLive => {
                "Check the channel ID, and that the storefront of this channel is live"
            }
            Self::CompanyNotActive => {
                "Ask the merchant to approve or activate the customer's company in B2B Edition: a new token or a retry \
                 does not help"
            }
            Self::SalesRepNotAssigned => {
                "Assign the sales representative to the company in B2B Edition: the token itself is valid"
            }
            Self::WrongGraphqlHost => {
                "Send B2B Edition tokens to the B2B Edition GraphQL API, and tokens of the core storefront to the GraphQL API \
                 of the store's own domain: neither accepts tokens of the other"
            }
            Self::BadLegacyToken => {
                "Check that this authToken belongs to this store and was not deleted; access tokens and storefront tokens \
                 are not accepted here"
            }
            Self::BudgetSpent => {
                "Wait, and cache tokens until they expire: all integrations of a store share one rate limit"
            }
            Self::Redirect => {
                "Set the base URL to the final address of the service: redirects are not followed, because they would carry \
                 credentials to another host"
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCS: &str = include_str!("../../docs/troubleshooting.md");

    /// Every hint, in the order of the enum.
    fn all() -> impl Iterator<Item = Hint> {
        // A match, so that a new hint cannot be forgotten here.
        std::iter::successors(Some(Hint::WrongAccessToken), |hint| match hint {
            Hint::WrongAccessToken => Some(Hint::MissingScope),
            Hint::MissingScope => Some(Hint::WrongKindOfToken),
            Hint::WrongKindOfToken => Some(Hint::CustomerAccessTokenSent),
            Hint::CustomerAccessTokenSent => Some(Hint::StoreHashFormat),
            Hint::StoreHashFormat => Some(Hint::WrongStoreHash),
            Hint::WrongStoreHash => Some(Hint::WrongBasePath),
            Hint::WrongBasePath => Some(Hint::BothHeaderSets),
            Hint::BothHeaderSets => Some(Hint::RoleForbidden),
            Hint::RoleForbidden => Some(Hint::BadLogin),
            Hint::BadLogin => Some(Hint::BadSessionJwt),
            Hint::BadSessionJwt => Some(Hint::SessionJwtOfAnotherApp),
            Hint::SessionJwtOfAnotherApp => Some(Hint::UnknownCustomer),
            Hint::UnknownCustomer => Some(Hint::ChannelNotLive),
            Hint::ChannelNotLive => Some(Hint::CompanyNotActive),
            Hint::CompanyNotActive => Some(Hint::SalesRepNotAssigned),
            Hint::SalesRepNotAssigned => Some(Hint::WrongGraphqlHost),
            Hint::WrongGraphqlHost => Some(Hint::BadLegacyToken),
            Hint::BadLegacyToken => Some(Hint::BudgetSpent),
            Hint::BudgetSpent => Some(Hint::Redirect),
            Hint::Redirect => None,
        })
    }

    /// The headings of a level, as rustdoc makes anchors of them: lower case, and hyphens for spaces.
    fn anchors<'d>(docs: &'d str, level: &str) -> Vec<String> {
        let mut in_code = false;
        let heading = |line: &'d str| {
            if line.starts_with("```") {
                in_code = !in_code;
            }
            line.strip_prefix(level)
                .and_then(|rest| rest.strip_prefix(' '))
                .filter(|_| !in_code)
        };
        docs.lines()
            .filter_map(heading)
            .map(|heading| {
                heading
                    .chars()
                    .filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter))
                    .map(|letter| match letter {
                        ' ' => '-',
                        other => other.to_ascii_lowercase(),
                    })
                    .collect()
            })
            .collect()
    }

    #[test]
    fn every_hint_has_its_section_and_every_section_of_a_hint_its_hint() {
        let (_, hints) = DOCS.split_once("\n# The hints\n").unwrap();
        let (hints, rest) = hints.split_once("\n# When there is no hint\n").unwrap();
        let expected: Vec<_> = all().map(Hint::section).collect();
        assert_eq!(anchors(hints, "##"), expected);
        assert_eq!(anchors(rest, "##"), [""; 0], "a section of no hint");
        // A second heading of the same text would get a number behind its anchor, and so might the first.
        let mut anchors: Vec<_> = ["#", "##", "###"]
            .iter()
            .flat_map(|level| anchors(DOCS, level))
            .collect();
        let headings = anchors.len();
        anchors.sort();
        anchors.dedup();
        assert_eq!(anchors.len(), headings);
    }

    #[test]
    fn each_section_says_the_sentence_of_its_hint() {
        let whole = DOCS.split_whitespace().collect::<Vec<_>>().join(" ");
        for hint in all() {
            let as_shown = format!(". {hint} (see …)");
            assert!(whole.contains(&as_shown), "{hint:?}: {as_shown}");
        }
    }

    #[test]
    fn a_hint_is_one_sentence_and_leaves_its_end_to_the_error() {
        for hint in all() {
            let text = hint.to_string();
            assert!(text.starts_with(char::is_uppercase), "{text}");
            assert!(
                !text.contains(". ") && !text.contains('\n') && !text.contains("  "),
                "{text}"
            );
            assert!(
                text.ends_with(|end: char| end.is_alphanumeric() || end == '"'),
                "{text}"
            );
            assert!(hint.link().ends_with(&format!("#{}", hint.section())));
            assert!(!hint.section().is_empty());
        }
    }

    fn refusal<'r>(words: &str, base_path: &'r str) -> RefusedResponse<'r> {
        RefusedResponse {
            kind: ErrorKind::NotFound,
            status: 404,
            operation: &operations::DELETE_AUTH_BACKEND,
            sends: &["authToken"],
            token: TokenForm::Other,
            base_path,
            is_json: true,
            words: [Some(words.to_owned()), None],
        }
    }

    #[test]
    fn words_are_a_sentence_and_not_a_part_of_one() {
        for said in [
            "Invalid token",
            " INVALID TOKEN. ",
            "invalid token!",
            "Invalid token. Try another one.",
            "non_field_errors: Invalid token",
            "first; Invalid token; last",
        ] {
            assert!(refusal(said, "/api/io").says("invalid token"), "{said}");
        }
        for said in [
            "",
            "Invalid toke",
            "Invalid tokens",
            "Invalid token header. No credentials provided.",
            "Invalid access token",
            "It is an invalid token",
            "\u{130}nvalid token",
            "Invalid toke\u{306}",
        ] {
            assert!(!refusal(said, "/api/io").says("invalid token"), "{said}");
        }
    }

    #[test]
    fn the_form_of_a_token_tells_its_kind() {
        let hash = "0123456789abcdef".repeat(4);
        for (token, form) in [
            (format!("{hash}_1790000000"), TokenForm::CustomerAccessToken),
            (
                format!("{}_1790000000", hash.to_uppercase()),
                TokenForm::CustomerAccessToken,
            ),
            ("eyJhbGciOiJIUzI1NiJ9.e30.c2ln".to_owned(), TokenForm::Jwt),
            (hash.clone(), TokenForm::Other),
            (format!("{hash}_"), TokenForm::Other),
            (format!("{hash}_soon"), TokenForm::Other),
            (format!("{hash}0_1790000000"), TokenForm::Other),
            ("eyJhbGciOiJIUzI1NiJ9.e30".to_owned(), TokenForm::Other),
            ("a.b.c".to_owned(), TokenForm::Other),
            (String::new(), TokenForm::Other),
        ] {
            assert_eq!(TokenForm::of(&token), form, "{token}");
        }
    }

    #[cfg(feature = "tokens")]
    #[test]
    fn the_words_of_a_storefront_api_decide_with_the_status_or_without() {
        for (status, message, expected) in [
            (403, "Permission denied", Some(Hint::SalesRepNotAssigned)),
            (200, "Permission denied", None),
            (400, "Invalid companyId", Some(Hint::SalesRepNotAssigned)),
            (403, "Invalid companyId", None),
            (200, "String is not a JWT", Some(Hint::WrongGraphqlHost)),
            (401, "invalid credentials", Some(Hint::WrongGraphqlHost)),
            (200, "invalid credentials", None),
            (200, "JWT verification failed", Some(Hint::WrongGraphqlHost)),
            (
                403,
                "This business account is inactive. Reach out to us.",
                Some(Hint::CompanyNotActive),
            ),
            (200, "not found", None),
        ] {
            assert_eq!(
                Hint::of_storefront_response(status, message),
                expected,
                "{message}"
            );
        }
    }

    #[test]
    fn the_path_of_the_vendors_page_goes_by_whole_parts() {
        for (path, expected) in [
            ("/api/v3/io", true),
            ("/api/v3", true),
            ("/api/v3/io/auth", true),
            ("/api//v3/io", true),
            ("/api/io", false),
            ("/api/v30/io", false),
            ("/gateway/api/v3/io", false),
            ("/v3", false),
        ] {
            assert_eq!(refusal("", path).is_below_v3(), expected, "{path}");
        }
    }
}

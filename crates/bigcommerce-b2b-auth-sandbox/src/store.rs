//! What a test puts into the sandbox: stores with their customers, channels, backend users and
//! server tokens. These are plain values; what changes while the sandbox runs is in `state.rs`.

use std::collections::HashMap;

use crate::secret::Secret;

/// A storefront customer or a Company user.
#[derive(Clone, Debug)]
pub struct Customer {
    id: u64,
    email: String,
    password: Secret,
    group_id: u64,
    company: CompanyStatus,
    is_unassigned_sales_rep: bool,
}

/// The state of the company that a customer belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CompanyStatus {
    /// Its users can buy.
    #[default]
    Active,
    /// It waits for the merchant's approval.
    Pending,
    /// The merchant has switched it off.
    Inactive,
}

impl CompanyStatus {
    /// How the service's message to a user of such a company begins, as clients of it know it.
    pub(crate) fn refusal(self) -> Option<&'static str> {
        match self {
            Self::Active => None,
            Self::Pending => Some("Your business account is pending approval"),
            Self::Inactive => Some("This business account is inactive"),
        }
    }
}

impl Customer {
    /// A customer with an id, an email address and a password. The customer group is 0 until it is
    /// [set](Self::group_id), and the company is active.
    #[must_use]
    pub fn new(id: u64, email: impl Into<String>, password: impl Into<String>) -> Self {
        Self {
            id,
            email: email.into(),
            password: Secret::new(password),
            group_id: 0,
            company: CompanyStatus::Active,
            is_unassigned_sales_rep: false,
        }
    }

    /// The state of the customer's company. What a mint answers to a user of a company that is not
    /// active is an assumption:
    /// [`Assumptions::company_status`](crate::Assumptions::company_status).
    #[must_use]
    pub fn company(mut self, status: CompanyStatus) -> Self {
        self.company = status;
        self
    }

    /// Makes the customer a sales representative who is not assigned to any company: the storefront
    /// GraphQL API answers 403 "Permission denied".
    #[must_use]
    pub fn unassigned_sales_rep(mut self) -> Self {
        self.is_unassigned_sales_rep = true;
        self
    }

    /// The customer group, which a session JWT names (as a string).
    #[must_use]
    pub fn group_id(mut self, group_id: u64) -> Self {
        self.group_id = group_id;
        self
    }

    /// The BigCommerce customer id.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The email address, which is also the login.
    #[must_use]
    pub fn email(&self) -> &str {
        &self.email
    }

    /// The password.
    #[must_use]
    pub fn password(&self) -> &str {
        self.password.expose()
    }

    pub(crate) fn group(&self) -> u64 {
        self.group_id
    }

    pub(crate) fn company_status(&self) -> CompanyStatus {
        self.company
    }

    pub(crate) fn is_unassigned_sales_rep(&self) -> bool {
        self.is_unassigned_sales_rep
    }
}

/// What a user of the control panel may do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Role {
    /// The pre-built Administrator role: may create server tokens.
    Administrator,
    /// The pre-built Store Owner role: may create server tokens.
    StoreOwner,
    /// A role that the merchant made, whatever it permits: may not.
    Custom(String),
}

/// A user of the control panel, who can create server tokens if the role allows it.
#[derive(Clone, Debug)]
pub struct BackendUser {
    email: String,
    password: Secret,
    role: Role,
}

impl BackendUser {
    /// A user with an email address, a password and a role.
    #[must_use]
    pub fn new(email: impl Into<String>, password: impl Into<String>, role: Role) -> Self {
        Self {
            email: email.into(),
            password: Secret::new(password),
            role,
        }
    }

    /// The email address, which is also the login.
    #[must_use]
    pub fn email(&self) -> &str {
        &self.email
    }

    /// The password.
    #[must_use]
    pub fn password(&self) -> &str {
        self.password.expose()
    }

    /// The role.
    #[must_use]
    pub fn role(&self) -> &Role {
        &self.role
    }
}

/// Where a server token came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventChannel {
    /// The B2B Edition control panel.
    App,
    /// The admin.
    Admin,
    /// A call of the API.
    Api,
}

impl EventChannel {
    /// The name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Admin => "admin",
            Self::Api => "api",
        }
    }
}

/// A legacy server-to-server token as it stands in a store: the value of the `authToken` header.
#[derive(Clone, Debug)]
pub struct ServerToken {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) email: String,
    pub(crate) event_channel: EventChannel,
    pub(crate) token: Secret,
}

impl ServerToken {
    /// The id by which it is deleted.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The name that its creator gave it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The email address of its creator.
    #[must_use]
    pub fn email(&self) -> &str {
        &self.email
    }

    /// Where it came from.
    #[must_use]
    pub fn event_channel(&self) -> EventChannel {
        self.event_channel
    }

    /// The token itself.
    #[must_use]
    pub fn token(&self) -> &str {
        self.token.expose()
    }
}

/// A server token that a store has from the start. The sandbox signs it, since the key is the
/// sandbox's own.
#[derive(Clone, Debug)]
pub(crate) struct InitialServerToken {
    pub(crate) name: String,
    pub(crate) email: String,
    pub(crate) event_channel: EventChannel,
}

/// A store with B2B Edition.
///
/// ```
/// use bigcommerce_b2b_auth_sandbox::{BackendUser, Customer, Role, Store};
///
/// let store = Store::new("acme1")
///     .with_access_token("acme-access-token")
///     .customer(Customer::new(7, "buyer@acme.example", "buyer-password"))
///     .backend_user(BackendUser::new("admin@acme.example", "admin-password", Role::Administrator));
/// assert_eq!(store.hash(), "acme1");
/// assert_eq!(store.channels(), [1], "the default storefront is there until a channel is named");
/// ```
#[derive(Clone, Debug)]
pub struct Store {
    hash: String,
    access_token: Secret,
    b2b_scope: bool,
    channels: Vec<u64>,
    /// Those of `channels` that are not live.
    closed_channels: Vec<u64>,
    customers: Vec<Customer>,
    /// Where each customer stands in `customers`, so that a mint in a store of many does not go through all of them.
    places: HashMap<u64, usize>,
    backend_users: Vec<BackendUser>,
    server_tokens: Vec<InitialServerToken>,
}

impl Store {
    /// A store with one storefront and an access token that nobody knows, because nobody has been
    /// told one yet.
    #[must_use]
    pub fn new(hash: impl Into<String>) -> Self {
        Self {
            hash: hash.into(),
            access_token: Secret::new(""),
            b2b_scope: true,
            channels: Vec::new(),
            closed_channels: Vec::new(),
            customers: Vec::new(),
            places: HashMap::new(),
            backend_users: Vec::new(),
            server_tokens: Vec::new(),
        }
    }

    /// Sets the store-level access token, the value of `X-Auth-Token`. An empty one never matches.
    #[must_use]
    pub fn with_access_token(mut self, token: impl Into<String>) -> Self {
        self.access_token = Secret::new(token);
        self
    }

    /// Takes the B2B Edition scope away from the access token.
    #[must_use]
    pub fn without_b2b_scope(mut self) -> Self {
        self.b2b_scope = false;
        self
    }

    /// Adds a storefront channel. The first one is the store's default; with none named it is
    /// channel 1.
    #[must_use]
    pub fn channel(mut self, id: u64) -> Self {
        self.channels.push(id);
        self
    }

    /// Adds a storefront channel that is not live: tokens for it are refused.
    #[must_use]
    pub fn channel_not_live(mut self, id: u64) -> Self {
        self.closed_channels.push(id);
        self.channel(id)
    }

    /// Adds a customer.
    #[must_use]
    pub fn customer(mut self, customer: Customer) -> Self {
        // Of two with one id the first is found.
        let place = self.customers.len();
        self.places.entry(customer.id).or_insert(place);
        self.customers.push(customer);
        self
    }

    /// Adds a user of the control panel.
    #[must_use]
    pub fn backend_user(mut self, user: BackendUser) -> Self {
        self.backend_users.push(user);
        self
    }

    /// Adds a server token that the store has from the start. The sandbox signs it:
    /// [`Sandbox::auth_token`](crate::Sandbox::auth_token) gives the value.
    #[must_use]
    pub fn server_token(
        mut self,
        name: impl Into<String>,
        email: impl Into<String>,
        from: EventChannel,
    ) -> Self {
        self.server_tokens.push(InitialServerToken {
            name: name.into(),
            email: email.into(),
            event_channel: from,
        });
        self
    }

    /// The store hash.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The store-level access token.
    #[must_use]
    pub fn access_token(&self) -> &str {
        self.access_token.expose()
    }

    /// Whether the access token has the B2B Edition scope.
    #[must_use]
    pub fn has_b2b_scope(&self) -> bool {
        self.b2b_scope
    }

    /// The storefront channels, the default one first.
    #[must_use]
    pub fn channels(&self) -> &[u64] {
        if self.channels.is_empty() {
            &[1]
        } else {
            &self.channels
        }
    }

    /// The customers.
    #[must_use]
    pub fn customers(&self) -> &[Customer] {
        &self.customers
    }

    /// The users of the control panel.
    #[must_use]
    pub fn backend_users(&self) -> &[BackendUser] {
        &self.backend_users
    }

    pub(crate) fn initial_server_tokens(&self) -> &[InitialServerToken] {
        &self.server_tokens
    }

    /// Whether a token can be had for this channel.
    pub(crate) fn is_live(&self, channel: u64) -> bool {
        !self.closed_channels.contains(&channel)
    }

    pub(crate) fn default_channel(&self) -> u64 {
        self.channels().first().copied().unwrap_or(1)
    }

    pub(crate) fn customer_by_id(&self, id: u64) -> Option<&Customer> {
        self.customers.get(*self.places.get(&id)?)
    }

    pub(crate) fn customer_by_login(&self, email: &str, password: &str) -> Option<&Customer> {
        self.customers
            .iter()
            .find(|customer| customer.email == email && customer.password.expose() == password)
    }

    pub(crate) fn backend_user_by_login(
        &self,
        email: &str,
        password: &str,
    ) -> Option<&BackendUser> {
        self.backend_users
            .iter()
            .find(|user| user.email == email && user.password.expose() == password)
    }
}

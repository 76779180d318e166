//! The store that is there when a test names none, and the names of everything in it. Constants,
//! so that an example reads like documentation and a terminal can be given the same values.

use crate::store::{BackendUser, Customer, EventChannel, Role, Store};

/// The store hash.
pub const STORE_HASH: &str = "demo1store";
/// The store-level access token, with the B2B Edition scope.
pub const ACCESS_TOKEN: &str = "demo-access-token";
/// The default storefront channel.
pub const CHANNEL_ID: u64 = 1;
/// A second storefront channel, which makes the store a multi-storefront one.
pub const SECOND_CHANNEL_ID: u64 = 2001;

/// The id of the first customer.
pub const CUSTOMER_ID: u64 = 101;
/// The email address of the first customer.
pub const CUSTOMER_EMAIL: &str = "buyer@demo.example";
/// The password of the first customer.
pub const CUSTOMER_PASSWORD: &str = "demo-buyer-password";
/// The id of the second customer.
pub const SECOND_CUSTOMER_ID: u64 = 102;
/// The email address of the second customer.
pub const SECOND_CUSTOMER_EMAIL: &str = "approver@demo.example";
/// The password of the second customer.
pub const SECOND_CUSTOMER_PASSWORD: &str = "demo-approver-password";

/// The email address of the backend user who is Administrator.
pub const ADMINISTRATOR_EMAIL: &str = "administrator@demo.example";
/// The password of the backend user who is Administrator.
pub const ADMINISTRATOR_PASSWORD: &str = "demo-administrator-password";
/// The email address of the backend user who is Store Owner.
pub const STORE_OWNER_EMAIL: &str = "owner@demo.example";
/// The password of the backend user who is Store Owner.
pub const STORE_OWNER_PASSWORD: &str = "demo-owner-password";
/// The email address of the backend user with a custom role, who may not create server tokens.
pub const CUSTOM_ROLE_EMAIL: &str = "clerk@demo.example";
/// The password of the backend user with a custom role.
pub const CUSTOM_ROLE_PASSWORD: &str = "demo-clerk-password";

/// The name of the server token that is there from the start.
pub const SERVER_TOKEN_NAME: &str = "demo control panel token";

impl Store {
    /// The demo store: see [`demo`](crate::demo) for what is in it.
    #[must_use]
    pub fn demo() -> Self {
        Self::new(STORE_HASH)
            .with_access_token(ACCESS_TOKEN)
            .channel(CHANNEL_ID)
            .channel(SECOND_CHANNEL_ID)
            .customer(Customer::new(
                CUSTOMER_ID,
                CUSTOMER_EMAIL,
                CUSTOMER_PASSWORD,
            ))
            .customer(
                Customer::new(
                    SECOND_CUSTOMER_ID,
                    SECOND_CUSTOMER_EMAIL,
                    SECOND_CUSTOMER_PASSWORD,
                )
                .group_id(4),
            )
            .backend_user(BackendUser::new(
                ADMINISTRATOR_EMAIL,
                ADMINISTRATOR_PASSWORD,
                Role::Administrator,
            ))
            .backend_user(BackendUser::new(
                STORE_OWNER_EMAIL,
                STORE_OWNER_PASSWORD,
                Role::StoreOwner,
            ))
            .backend_user(BackendUser::new(
                CUSTOM_ROLE_EMAIL,
                CUSTOM_ROLE_PASSWORD,
                Role::Custom("clerk".to_owned()),
            ))
            .server_token(SERVER_TOKEN_NAME, ADMINISTRATOR_EMAIL, EventChannel::App)
    }
}

//! The six operations, start to end.
//!
//! ```text
//! cargo run --example quickstart                              against a sandbox that it starts itself
//! cargo run --example quickstart -- --live --customer-id 42   mints once against the real service, and nothing else
//! ```
//!
//! The live form takes `BIGCOMMERCE_STORE_HASH` and `BIGCOMMERCE_ACCESS_TOKEN` from the environment.
#![expect(
    deprecated,
    reason = "the vendor deprecated server tokens; they are still shown"
)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "an example shows what it does"
)]

use std::{error::Error, process::ExitCode, time::SystemTime};

use bigcommerce_b2b_auth::{
    ChannelId, Client, CustomerId, LegacyAuthToken, Reply, ReplyMeta, StoreAccess, StorefrontToken,
};
use bigcommerce_b2b_auth_sandbox::{Sandbox, demo};
use futures_util::TryStreamExt;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        [] => against_the_sandbox().await,
        ["--live", "--customer-id", id] => mint_live(id).await,
        _ => Err("usage: quickstart [-- --live --customer-id N]".into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // An error says what happened, where, and what to do about it.
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn against_the_sandbox() -> Result<(), Box<dyn Error>> {
    let sandbox = Sandbox::builder().start().await?;
    println!("sandbox at {}\n", sandbox.base_url());

    // One client for a store: cheap to clone, and all clones keep to one budget.
    let client = Client::builder()
        .credentials(StoreAccess::new(demo::STORE_HASH, demo::ACCESS_TOKEN)?)
        .default_channel(ChannelId::DEFAULT)
        .base_url(sandbox.base_url())
        .user_agent_suffix("quickstart/1.0")
        .build()?;

    // 1. What a server-side integration does: a token by customer id.
    let token = client
        .mint_storefront_token(CustomerId::new(demo::CUSTOMER_ID)?)
        .send()
        .await?;
    show("minted by customer id", &token);

    // 2. With the customer's own login.
    let token = client
        .log_in_storefront_user()
        .email(demo::CUSTOMER_EMAIL)
        .password(demo::CUSTOMER_PASSWORD)
        .name("quickstart")
        .send()
        .await?;
    show("by e-mail address and password", &token);

    // 3. With the session JWT that a storefront hands to a signed-in shopper.
    let session_jwt = sandbox
        .session_jwt(demo::STORE_HASH, demo::CUSTOMER_ID)
        .ok_or("the demo customer is missing")?;
    let token = client.exchange_session_jwt(session_jwt).send().await?;
    show("exchanged for a session JWT", &token);

    // 4. A server-to-server token, which the vendor deprecated: create it …
    let created = client
        .create_server_token()
        .email(demo::ADMINISTRATOR_EMAIL)
        .password(demo::ADMINISTRATOR_PASSWORD)
        .name("quickstart export")
        .send()
        .await?
        .into_value();
    println!("created  {created:?}");

    // 5. … find it in the list. That takes the new token itself: the type of this client lists and deletes, no more.
    let legacy = client.with_legacy_auth_token(LegacyAuthToken::new(created.token)?);
    let tokens: Vec<_> = legacy.all_server_tokens().stream().try_collect().await?;
    for token in &tokens {
        println!("listed   {}: {:?}", token.id, token.name);
    }

    // 6. … and delete it.
    let created = tokens
        .iter()
        .find(|token| token.name.as_deref() == Some("quickstart export"))
        .ok_or("the created token is not in the list")?;
    let deleted = legacy.delete_server_token(created.id).send().await?;
    println!("deleted  {}", created.id);
    show_budget(deleted.meta());

    sandbox.shutdown().await?;
    Ok(())
}

async fn mint_live(customer_id: &str) -> Result<(), Box<dyn Error>> {
    let customer: CustomerId = customer_id.parse()?;
    let token = Client::from_env()?
        .mint_storefront_token(customer)
        .send()
        .await?;
    show("minted by customer id", &token);
    show_budget(token.meta());
    Ok(())
}

/// Secrets are types: printing one shows `[REDACTED]`.
fn show(how: &str, token: &Reply<StorefrontToken>) {
    println!("{how}: {:?}", token.secret());
    if let Some(claims) = token.claims() {
        let email = claims.email.as_deref().unwrap_or("nobody");
        let store = claims.store_hash.as_deref().unwrap_or("no store");
        println!("  claims   {email} of {store}");
    }
    let remaining = token.remaining(SystemTime::now());
    println!(
        "  valid    for {:.2} more hours",
        remaining.as_secs_f64() / 3600.0
    );
    println!(
        "  request  {}\n",
        token.meta().request_id.as_deref().unwrap_or("-")
    );
}

fn show_budget(meta: &ReplyMeta) {
    if let (Some(remaining), Some(allocated)) = (meta.budget.remaining, meta.budget.allocated) {
        println!("\n{remaining} of {allocated} requests left in this window");
    }
}

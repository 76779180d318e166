//! The back end of a headless storefront: shoppers log in, and their calls to the storefront's GraphQL API go out with managed
//! tokens that never leave this process.
//!
//! ```text
//! cargo run --example storefront                 at http://127.0.0.1:8080
//! cargo run --example storefront -- --port 0     at a free port
//! ```
//!
//! It needs no store: a sandbox stands in for the Authentication API, and `storefront_graphql.rs` for GraphQL. What to take over
//! into a back end of your own is `shop.rs` (routes and errors), `orders.rs` (calls with a token) and `sessions.rs` (who is
//! logged in).
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "an example shows what it does"
)]

mod orders;
mod sessions;
mod shop;
mod storefront_graphql;
#[cfg(test)]
mod tests;

use std::{error::Error, net::Ipv4Addr, process::ExitCode, time::Duration};

use bigcommerce_b2b_auth::{ChannelId, Client, CustomerId, StoreAccess, StorefrontTokens};
use bigcommerce_b2b_auth_sandbox::{Sandbox, demo};
use tokio::net::TcpListener;

use self::{
    orders::OrdersApi,
    shop::{Shop, Shopper},
    storefront_graphql::StorefrontGraphql,
};

/// Where the shop listens unless `--port` says otherwise.
const PORT: u16 = 8080;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match port(&arguments) {
        Ok(port) => run(port).await,
        Err(usage) => Err(usage.into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn port(arguments: &[String]) -> Result<u16, &'static str> {
    match arguments {
        [] => Ok(PORT),
        [flag, port] if flag == "--port" => port.parse().map_err(|_| "--port takes 0 to 65535"),
        _ => Err("usage: storefront [-- --port N]"),
    }
}

async fn run(port: u16) -> Result<(), Box<dyn Error>> {
    // The two services that a real shop finds at api-b2b.bigcommerce.com.
    let sandbox = Sandbox::builder().start().await?;
    let graphql = StorefrontGraphql::start(sandbox.sandbox().clone()).await?;

    let shop = shop(sandbox.base_url(), graphql)?;
    let tokens = shop.tokens().clone();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .await
        .map_err(|error| {
            format!("port {port} cannot be had ({error}): choose another with --port, or 0 for a free one")
        })?;
    println!("shop at http://{}", listener.local_addr()?);
    println!(
        "log in with {} and {}; Ctrl-C ends it",
        demo::CUSTOMER_EMAIL,
        demo::CUSTOMER_PASSWORD
    );

    axum::serve(listener, shop.router())
        .with_graceful_shutdown(async {
            // Should the signal not be had, the shop runs until it is killed.
            if tokio::signal::ctrl_c().await.is_err() {
                std::future::pending::<()>().await;
            }
        })
        .await?;

    // A mint that was sent is paid for: it is waited for, and nothing new is begun.
    tokens.shutdown().await;
    sandbox.shutdown().await?;
    println!("the shop is closed");
    Ok(())
}

/// The shop, built as for the real services but for the two addresses.
fn shop(base_url: &str, graphql: StorefrontGraphql) -> Result<Shop, Box<dyn Error>> {
    // One client for a store. `Client::from_env()` reads its credentials from the environment.
    let client = Client::builder()
        .credentials(StoreAccess::new(demo::STORE_HASH, demo::ACCESS_TOKEN)?)
        .default_channel(ChannelId::DEFAULT)
        .base_url(base_url)
        .user_agent_suffix("storefront-example/1.0")
        // A shopper waits for every call: better a clear failure than two minutes of patience.
        .deadline(Duration::from_secs(10))
        .build()?;
    // One cache, kept for as long as the process runs.
    let tokens = StorefrontTokens::builder().client(client.clone()).build();
    let orders = OrdersApi::new(tokens.clone(), graphql.url())?;
    // The shop's own table of its shoppers, which a real one has in its database.
    let shoppers = [
        Shopper {
            email: demo::CUSTOMER_EMAIL.to_owned(),
            name: "Bea Buyer".to_owned(),
            customer: CustomerId::new(demo::CUSTOMER_ID)?,
        },
        Shopper {
            email: demo::SECOND_CUSTOMER_EMAIL.to_owned(),
            name: "Ari Approver".to_owned(),
            customer: CustomerId::new(demo::SECOND_CUSTOMER_ID)?,
        },
    ];
    Ok(Shop::new(client, tokens, orders, shoppers, graphql))
}

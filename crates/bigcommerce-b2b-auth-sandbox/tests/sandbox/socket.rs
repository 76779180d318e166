//! The sandbox behind a real socket, called by a real HTTP client.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use bigcommerce_b2b_auth_sandbox::{Operation, Sandbox, demo};
use serde_json::{Value, json};

#[tokio::test]
async fn a_session_goes_over_the_wire() {
    let sandbox = Sandbox::builder().start().await.unwrap();
    assert_eq!(
        sandbox.base_url(),
        format!("http://127.0.0.1:{}", sandbox.address().port())
    );
    let url = |operation: Operation| format!("{}{}", sandbox.base_url(), operation.path());
    let client = reqwest::Client::new();

    let created: Value = client
        .post(url(Operation::CreateServerToken))
        .json(&json!({
            "storeHash": demo::STORE_HASH,
            "email": demo::STORE_OWNER_EMAIL,
            "password": demo::STORE_OWNER_PASSWORD,
            "name": "wire",
        }))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let token = created["data"][0]["token"].as_str().unwrap();

    let list = || {
        client
            .get(url(Operation::ListServerTokens))
            .header("authToken", token)
            .query(&[("limit", 1), ("offset", 1)])
    };
    let page: Value = list().send().await.unwrap().json().await.unwrap();
    assert_eq!(page["data"][0]["name"], "wire");

    let deletion = client
        .delete(url(Operation::DeleteServerToken))
        .header("authToken", token)
        .json(&json!({ "id": page["data"][0]["id"] }))
        .send()
        .await
        .unwrap();
    assert_eq!(deletion.status(), 200);
    assert_eq!(
        deletion.headers().get_all("date").iter().count(),
        1,
        "the one of the sandbox's clock"
    );
    assert_eq!(list().send().await.unwrap().status(), 401);
    assert_eq!(sandbox.request_count(), 4);
    sandbox.shutdown().await.unwrap();
}

#[tokio::test]
async fn the_date_is_that_of_the_sandbox() {
    let (builder, _clock) = crate::support::standing_still();
    let sandbox = builder.start().await.unwrap();
    let reply = reqwest::get(sandbox.base_url()).await.unwrap();
    assert_eq!(reply.headers()["date"], "Tue, 01 Jan 2030 00:00:00 GMT");
}

#[tokio::test]
async fn a_sandbox_that_was_shut_down_accepts_no_connection() {
    let running = Sandbox::builder().start().await.unwrap();
    let url = running.base_url().to_owned();
    let handle = running.sandbox().clone();
    let client = reqwest::Client::new();
    // The connection stays open in the client's pool: an idle one must not keep the sandbox from
    // ending.
    client.get(&url).send().await.unwrap();
    running.shutdown().await.unwrap();
    assert!(client.get(&url).send().await.unwrap_err().is_connect());
    assert_eq!(handle.request_count(), 1, "the handle outlives the socket");
}

/// The program, which ends also when the test fails.
struct Program {
    child: Child,
    url: String,
}

impl Program {
    /// Starts it and reads the first line, which is the base URL.
    fn start(arguments: &[&str]) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_bigcommerce-b2b-auth-sandbox"))
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut program = Self {
            child,
            url: String::new(),
        };
        let mut line = String::new();
        BufReader::new(program.child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        line.trim_end().clone_into(&mut program.url);
        program
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn the_program_prints_its_base_url_first_and_serves() {
    let program = Program::start(&["--rate", "1"]);
    let url = format!("{}{}", program.url, Operation::Mint.path());

    let client = reqwest::Client::new();
    for status in [200, 429] {
        let reply = client
            .post(&url)
            .header("X-Store-Hash", demo::STORE_HASH)
            .header("X-Auth-Token", demo::ACCESS_TOKEN)
            .json(&json!({ "customerId": demo::CUSTOMER_ID }))
            .send()
            .await
            .unwrap();
        assert_eq!(reply.status(), status);
    }
}

#[tokio::test]
async fn the_program_fails_as_often_as_it_is_told_to() {
    // Some faults point elsewhere, where no test goes.
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    for (rate, fails) in [("0", false), ("1", true)] {
        let arguments = ["--fault-rate", rate, "--fault-seed", "7", "--rate", "0"];
        let program = Program::start(&arguments);
        let mint = crate::support::Ask::mint();
        let mut fine = 0;
        for _ in 0..20 {
            if let Ok(reply) = mint.send_to(&program.url, &client).await {
                fine += usize::from(reply.status() == 200 && reply.bytes().await.is_ok());
            }
        }
        // A spoilt reply is one for this count; so is one with a skewed date.
        assert_eq!(fine < 20, fails, "{fine} of 20");
    }
}

#[tokio::test]
async fn an_address_in_use_is_an_error() {
    let running = Sandbox::builder().start().await.unwrap();
    let error = Sandbox::builder()
        .bind(running.address())
        .start()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
}

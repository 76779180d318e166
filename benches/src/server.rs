//! The far end of every call: one fixed reply, as cheaply and steadily as may be, in a process of its own, so that
//! neither its allocations nor its instructions are counted, and its noise is the same for both contenders.

use std::{
    env,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    process::{self, Child, Command, Stdio},
    thread,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    runtime::Builder,
};

use crate::Result;

/// What makes a benchmark run as the server.
pub(crate) const ARGUMENT: &str = "serve";

/// The server while it runs; it ends with this value, or with the process that holds it.
#[derive(Debug)]
pub struct Server {
    process: Child,
    address: String,
}

impl Server {
    /// Starts this executable once more, as the server, and waits until it listens.
    ///
    /// # Errors
    /// When it cannot be started, or does not say where it listens.
    pub fn start() -> Result<Self> {
        let mut process = Command::new(env::current_exe()?)
            .arg(ARGUMENT)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut address = String::new();
        if let Some(output) = process.stdout.take() {
            BufReader::new(output).read_line(&mut address)?;
        }
        let address = address.trim().to_owned();
        let server = Self { process, address };
        if server.address.is_empty() {
            return Err("the server did not say where it listens".into());
        }
        Ok(server)
    }

    /// Where it listens, as `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // If it is gone already, so much the better.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Says on stdout where it listens and answers until stdin ends, which is when the benchmark does, however it ends.
pub(crate) fn serve() -> Result<()> {
    thread::spawn(|| {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        process::exit(0);
    });
    // One thread: it serves 256 connections without a switch between threads, and leaves the other core to the client.
    let runtime = Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let mut output = io::stdout();
        writeln!(output, "{}", listener.local_addr()?)?;
        output.flush()?;
        let reply: &[u8] = Box::leak(reply().into_boxed_slice());
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(answer(stream, reply));
        }
    })
}

/// Answers one connection until the client closes it. No client here sends a request before it has the last reply.
async fn answer(mut stream: TcpStream, reply: &[u8]) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut request = Vec::with_capacity(4096);
    while stream.read_buf(&mut request).await? > 0 {
        if is_whole(&request) {
            request.clear();
            stream.write_all(reply).await?;
        }
    }
    Ok(())
}

/// Whether the head and as much of a body as it announces have come.
fn is_whole(request: &[u8]) -> bool {
    const END: &[u8] = b"\r\n\r\n";
    let Some(end) = request.windows(END.len()).position(|window| window == END) else {
        return false;
    };
    let length = request
        .get(..end)
        .and_then(|head| str::from_utf8(head).ok())
        .and_then(|head| {
            head.lines()
                .filter_map(|line| line.split_once(':'))
                .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        })
        .and_then(|(_, value)| value.trim().parse().ok())
        .unwrap_or(0);
    request.len() >= end + END.len() + length
}

/// The reply of a mint, with the headers that the service sends.
fn reply() -> Vec<u8> {
    let body = serde_json::json!({
        "code": 200,
        "data": { "token": [token()] },
        "meta": { "message": "SUCCESS" },
    })
    .to_string();
    format!(
        "HTTP/1.1 200 OK\r\n\
         Date: Mon, 02 Mar 2026 10:00:00 GMT\r\n\
         Content-Type: application/json\r\n\
         Content-Length: {}\r\n\
         X-Request-Id: 8f14e45f-ceea-467f-a2d6-1b2c3d4e5f60\r\n\
         Trace-Id: 4bf92f3577b34da6a3ce929d0e0e4736\r\n\
         X-Envoy-Upstream-Service-Time: 87\r\n\
         X-Requests-Allocated: 150 times/60 s\r\n\
         X-Requests-Window-Length: 0 times\r\n\
         X-Requests-Remaining: 149 times\r\n\
         X-Request-Window-Resets-After: 0.3973509933774834 s\r\n\
         \r\n\
         {body}",
        body.len()
    )
    .into_bytes()
}

/// A storefront token with the claims that a mint gives it. Its signature signs nothing.
fn token() -> String {
    let claims = r#"{"email":"ada.lovelace@example.com","bc_customer_id":4711,"store_hash":"abc123defg","db":"default","bc_channel_id":1,"exp":1772532000}"#;
    [
        r#"{"alg":"HS256","typ":"JWT"}"#.as_bytes(),
        claims.as_bytes(),
        &[0xA5; 32],
    ]
    .map(|part| URL_SAFE_NO_PAD.encode(part))
    .join(".")
}

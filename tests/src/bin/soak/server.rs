//! The sockets of the fault server: HTTP/1.1 by hand, so that a response can be late, cut off, reset or no HTTP at all.

use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    runtime::Builder,
};

use crate::service::Service;

/// The longest request that is read: a token of 900 kB may come back in a header.
const LONGEST_REQUEST: usize = 8 * 1024 * 1024;

/// A request that was read to its end.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// A header, by its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// A response, before it becomes bytes.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
}

/// What happens on the connection.
#[derive(Debug)]
pub(crate) enum Wire {
    Whole(Response),
    /// The body ends half way, by a close.
    CutOff(Response),
    /// The connection is reset within the body.
    ResetInBody(Response),
    Reset,
    NotHttp,
    /// Nothing comes until the client closes.
    Nothing,
}

/// What the server does with a request.
#[derive(Debug)]
pub(crate) struct Act {
    /// The number of the request in the log.
    pub(crate) number: Option<u64>,
    pub(crate) delay: Duration,
    pub(crate) wire: Wire,
}

/// Starts the server on a thread and a runtime of its own.
///
/// # Errors
/// When no socket or no runtime can be had.
pub(crate) fn start(service: Arc<Service>) -> io::Result<SocketAddr> {
    let (tell, told) = mpsc::channel();
    let run = move || -> io::Result<()> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let _ = tell.send(listener.local_addr()?);
            let mut connection = 0;
            loop {
                let (stream, _) = listener.accept().await?;
                connection += 1;
                tokio::spawn(serve(stream, connection, Arc::clone(&service)));
            }
        })
    };
    thread::Builder::new()
        .name("server".to_owned())
        .spawn(run)?;
    told.recv()
        .map_err(|_| io::Error::other("the server did not start"))
}

async fn serve(mut stream: TcpStream, connection: u64, service: Arc<Service>) {
    let _ = stream.set_nodelay(true);
    let mut buffer = Vec::new();
    while let Ok(Some(request)) = read(&mut stream, &mut buffer).await {
        let Act {
            number,
            delay,
            wire,
        } = service.handle(&request, connection);
        let delay = if matches!(wire, Wire::Nothing) {
            Duration::from_secs(600)
        } else {
            delay
        };
        let is_there = tokio::select! {
            () = tokio::time::sleep(delay) => true,
            () = closed(&mut stream, &mut buffer) => false,
        };
        service.finished(number, is_there);
        let goes_on = is_there && write(&mut stream, wire).await.unwrap_or(false);
        if !goes_on || request.header("connection") == Some("close") {
            return;
        }
    }
}

/// Completes when the client has closed the connection.
async fn closed(stream: &mut TcpStream, buffer: &mut Vec<u8>) {
    loop {
        match stream.read_buf(buffer).await {
            Ok(0) | Err(_) => return,
            Ok(_) if buffer.len() > LONGEST_REQUEST => return,
            Ok(_) => {}
        }
    }
}

/// Writes what is to be written. `true` when the connection goes on.
async fn write(stream: &mut TcpStream, wire: Wire) -> io::Result<bool> {
    match wire {
        Wire::Whole(response) => {
            stream.write_all(&bytes(&response)).await?;
            Ok(true)
        }
        Wire::CutOff(response) => {
            stream.write_all(half(&bytes(&response), &response)).await?;
            Ok(false)
        }
        Wire::ResetInBody(response) => {
            stream.write_all(half(&bytes(&response), &response)).await?;
            tokio::time::sleep(Duration::from_millis(5)).await;
            stream.set_zero_linger()?;
            Ok(false)
        }
        Wire::Reset => {
            stream.set_zero_linger()?;
            Ok(false)
        }
        Wire::NotHttp => {
            stream
                .write_all(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
                .await?;
            Ok(false)
        }
        Wire::Nothing => Ok(false),
    }
}

fn bytes(response: &Response) -> Vec<u8> {
    let mut head = format!(
        "HTTP/1.1 {} Status\r\ncontent-length: {}\r\n",
        response.status,
        response.body.len()
    );
    for (name, value) in &response.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(response.body.as_bytes());
    bytes
}

/// All of the head and half of the body.
fn half<'b>(bytes: &'b [u8], response: &Response) -> &'b [u8] {
    let end = bytes.len() - response.body.len() / 2 - 1;
    bytes.get(..end).unwrap_or(bytes)
}

/// Reads one request. `None` when the client closed before it began another one.
async fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Option<Request>> {
    let end_of_head = loop {
        let found = buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
        if let Some(place) = found {
            break place + 4;
        }
        if buffer.len() > LONGEST_REQUEST {
            return Err(ErrorKind::InvalidData.into());
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    };
    let head: Vec<u8> = buffer.drain(..end_of_head).collect();
    let head = String::from_utf8(head).map_err(|_| ErrorKind::InvalidData)?;
    let mut lines = head.split("\r\n");
    let mut first = lines.next().unwrap_or_default().split(' ');
    let method = first.next().unwrap_or_default().to_owned();
    let target = first.next().unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let mut request = Request {
        method,
        path: path.to_owned(),
        query: query.to_owned(),
        headers,
        body: Vec::new(),
    };
    let length: usize = request
        .header("content-length")
        .map_or(Ok(0), str::parse)
        .map_err(|_| ErrorKind::InvalidData)?;
    if length > LONGEST_REQUEST {
        return Err(ErrorKind::InvalidData.into());
    }
    while buffer.len() < length {
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
    request.body = buffer.drain(..length).collect();
    Ok(Some(request))
}

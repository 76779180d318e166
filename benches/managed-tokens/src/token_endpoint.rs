//! A token endpoint on loopback, for the one whose transport cannot be replaced.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    thread,
};

use serde_json::Value;

/// Answers every request with `reply` until the process ends, and gives its URL.
pub(crate) fn start(reply: Value) -> io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}/token", listener.local_addr()?);
    let reply = reply.to_string();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // Whoever asked sees for itself that it got no answer.
            let _ = answer(stream, &reply);
        }
    });
    Ok(url)
}

fn answer(stream: TcpStream, reply: &str) -> io::Result<()> {
    let mut request = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if request.read_line(&mut line)? == 0 || line == "\r\n" {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    // Closed with something unread, the connection would take the reply with it.
    request.read_exact(&mut vec![0; length])?;
    write!(
        request.get_mut(),
        "HTTP/1.1 200 OK\r\n\
         Content-Type: application/json\r\n\
         Content-Length: {}\r\n\
         Connection: close\r\n\
         \r\n\
         {reply}",
        reply.len()
    )
}

//! All that came to the browser: replies with their headers and bodies, and what the console said.

use std::collections::BTreeMap;

use serde_json::Value;

/// What a page has seen.
#[derive(Debug, Default)]
pub struct Seen {
    /// By the browser's number of the request.
    replies: BTreeMap<String, Reply>,
    complaints: Vec<String>,
}

#[derive(Debug, Default)]
struct Reply {
    path: String,
    status: u64,
    headers: String,
    is_finished: bool,
    body: Option<String>,
}

impl Seen {
    pub(crate) fn note(&mut self, event: &Value) {
        let params = &event["params"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let id = text(&params["requestId"]);
        match event["method"].as_str().unwrap_or_default() {
            "Network.responseReceived" => {
                let reply = self.replies.entry(id).or_default();
                let url = text(&params["response"]["url"]);
                reply.path = url.splitn(4, '/').last().unwrap_or_default().to_owned();
                reply.status = params["response"]["status"].as_u64().unwrap_or_default();
                reply
                    .headers
                    .push_str(&params["response"]["headers"].to_string());
            }
            // With the cookies.
            "Network.responseReceivedExtraInfo" => {
                let reply = self.replies.entry(id).or_default();
                reply.headers.push_str(&params["headers"].to_string());
            }
            "Network.loadingFinished" => {
                self.replies.entry(id).or_default().is_finished = true;
            }
            "Runtime.exceptionThrown" => {
                self.complaints.push(params["exceptionDetails"].to_string());
            }
            "Runtime.consoleAPICalled"
                if params["type"] == "error" || params["type"] == "warning" =>
            {
                self.complaints.push(params["args"].to_string());
            }
            // A status that is an error is told by the replies; what was blocked, or could not be had, is not.
            "Log.entryAdded" if params["entry"]["level"] == "error" => {
                let entry = text(&params["entry"]["text"]);
                if !entry.contains("the server responded with a status of") {
                    self.complaints.push(entry);
                }
            }
            _ => {}
        }
    }

    pub(crate) fn replies_without_body(&self) -> Vec<String> {
        let without = |reply: &Reply| reply.is_finished && reply.body.is_none();
        let replies = self.replies.iter().filter(|(_, reply)| without(reply));
        replies.map(|(id, _)| id.clone()).collect()
    }

    pub(crate) fn note_body(&mut self, id: &str, body: String) {
        self.replies.entry(id.to_owned()).or_default().body = Some(body);
    }

    /// The statuses of the replies to a path without its leading slash, in the order of the requests.
    #[must_use]
    pub fn statuses(&self, path: &str) -> Vec<u64> {
        // The numbers of requests end with a count, such as 4711.23, behind the same process number for all.
        let mut of_path: Vec<_> = self
            .replies
            .iter()
            .filter(|(_, reply)| reply.path == path)
            .collect();
        of_path.sort_by_key(|(id, _)| {
            id.rsplit('.')
                .next()
                .and_then(|count| count.parse::<u64>().ok())
        });
        of_path.into_iter().map(|(_, reply)| reply.status).collect()
    }

    /// Every reply, as its path, and its headers and body in one text.
    pub fn replies(&self) -> impl Iterator<Item = (&str, String)> {
        self.replies.values().map(|reply| {
            let body = reply.body.as_deref().unwrap_or_default();
            (reply.path.as_str(), format!("{}\n{body}", reply.headers))
        })
    }

    /// Exceptions, errors and warnings of the console, and what the browser blocked.
    #[must_use]
    pub fn complaints(&self) -> &[String] {
        &self.complaints
    }
}

/// Whether there is anything in a text that looks like a JWT: `eyJ`, more of base64url, and a dot.
#[must_use]
pub fn holds_jwt(text: &str) -> bool {
    text.match_indices("eyJ").any(|(at, _)| {
        let rest = text[at + 3..].trim_start_matches(|letter: char| {
            letter.is_ascii_alphanumeric() || letter == '-' || letter == '_'
        });
        rest.len() < text.len() - at - 3 && rest.starts_with('.')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jwt_is_found_wherever_it_stands() {
        for text in [
            "eyJhbGciOiJIUzI1NiJ9.e30.4E_Bsx",
            r#"{"token":"eyJ0-_.x"}"#,
            "eyJ. and eyJhbGciOiJIUzI1NiJ9.",
        ] {
            assert!(holds_jwt(text), "{text}");
        }
        for text in ["", "eyJ", "eyJ.", "the eyJab", "eyJ ab.c", "keyjab."] {
            assert!(!holds_jwt(text), "{text}");
        }
    }
}

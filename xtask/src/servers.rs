//! Splits each operation's address into server and path at the service's base path, wherever the document splits it.
//! The address stays what it is: only which part of it is called server changes, and all operations share one.

use serde_json::{Map, Value, json};

use crate::error::Finding;
use crate::passes::Changes;
use crate::pointer;
use crate::shape::{self, Kind, METHODS};

/// The base paths that documents of this service have used. The second answers 404, whatever they say.
pub(crate) const BASE_PATHS: [&str; 2] = ["/api/io", "/api/v3/io"];

/// What of `path` lies below a base path of the service, for a path that carries one itself.
pub(crate) fn below_base(path: &str) -> &str {
    split(path).map_or(path, |(_, rest)| rest)
}

/// Splits a path after the base path that it starts with.
fn split(path: &str) -> Option<(&'static str, &str)> {
    BASE_PATHS.into_iter().find_map(|base| {
        let rest = path.strip_prefix(base)?;
        rest.starts_with('/').then_some((base, rest))
    })
}

/// The part of a server's address before its path, and the path.
pub(crate) fn split_address(url: &str) -> (&str, &str) {
    let host = url.find("://").map_or(0, |scheme| scheme + 3);
    let path = url
        .get(host..)
        .and_then(|rest| rest.find('/'))
        .map_or(url.len(), |slash| host + slash);
    url.split_at_checked(path).unwrap_or((url, ""))
}

/// One operation while its address is taken apart.
struct Placed {
    path: String,
    method: &'static str,
    operation: Value,
    servers: Option<Value>,
}

/// Brings the paths of `document` below the service's base path, and its servers to one list.
///
/// # Errors
/// If two operations come to stand at one address.
pub(crate) fn normalise(document: &mut Value, notes: &mut Vec<String>) -> Result<usize, Finding> {
    let Some(root) = document.as_object_mut() else {
        return Ok(0);
    };
    let general = root
        .get("servers")
        .filter(|servers| is_stated(servers))
        .cloned();
    let Some(Value::Object(paths)) = root.get_mut("paths").map(std::mem::take) else {
        return Ok(0);
    };
    let mut placed = Vec::new();
    let mut count = 0;
    for path in Kind::Paths.order(&paths) {
        for method in METHODS {
            let Some(mut operation) = paths.get(path).and_then(|item| item.get(method)).cloned()
            else {
                continue;
            };
            let own = operation
                .as_object_mut()
                .and_then(|operation| operation.remove("servers"))
                .filter(is_stated);
            let servers = own.or_else(|| general.clone());
            let (servers, short) = address(servers, path);
            if short != *path {
                count += 1;
                notes.push(format!(
                    "{} `{path}` is `{short}` below {}",
                    method.to_uppercase(),
                    servers.as_ref().map_or_else(String::new, first_url)
                ));
            }
            placed.push(Placed {
                path: short,
                method,
                operation,
                servers,
            });
        }
    }
    let common = most_common(&placed);
    if let Some(common) = &common
        && general.as_ref() != Some(common)
    {
        count += 1;
        notes.push(format!(
            "the server of these operations is {}",
            first_url(common)
        ));
    }
    match &common {
        Some(common) => root.insert("servers".to_owned(), common.clone()),
        None => root.remove("servers"),
    };
    root.insert("paths".to_owned(), put_together(placed, &common, notes)?);
    Ok(count)
}

fn is_stated(servers: &Value) -> bool {
    servers.as_array().is_some_and(|list| !list.is_empty())
}

/// The servers and the path of an operation, split at the base path where all its servers agree.
fn address(servers: Option<Value>, path: &str) -> (Option<Value>, String) {
    let unchanged = (servers.clone(), path.to_owned());
    let Some(Value::Array(list)) = &servers else {
        // Without a server, addresses start at the host that serves the document.
        return match split(path) {
            Some((base, rest)) => (Some(json!([{ "url": base }])), rest.to_owned()),
            None => unchanged,
        };
    };
    let mut result = Vec::new();
    let mut short: Option<String> = None;
    for server in list {
        let url = server
            .get("url")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let (host, below) = split_address(url);
        let whole = format!("{}{path}", below.trim_end_matches('/'));
        let Some((base, rest)) = split(&whole) else {
            return unchanged;
        };
        if short.as_deref().is_some_and(|short| short != rest) {
            return unchanged;
        }
        short = Some(rest.to_owned());
        let mut server = server.clone();
        // An address that is right already keeps its very bytes.
        if let (true, Some(server)) = (below.trim_end_matches('/') != base, server.as_object_mut())
        {
            server.insert("url".to_owned(), json!(format!("{host}{base}")));
        }
        result.push(server);
    }
    match short {
        Some(short) => (Some(Value::Array(result)), short),
        None => unchanged,
    }
}

/// States the base path that answers, and one server for all operations: the transport is given the address of one.
pub(crate) fn keep_live(document: &mut Value) -> Result<Changes, Finding> {
    let mut changes = Changes::default();
    let [live, dead] = BASE_PATHS;
    if let Some(Value::Array(servers)) = document.get_mut("servers") {
        for server in servers.iter_mut().filter_map(Value::as_object_mut) {
            let url = server
                .get("url")
                .and_then(Value::as_str)
                .unwrap_or_default();
            let (host, path) = split_address(url);
            if path.trim_end_matches('/') == dead {
                let mended = format!("{host}{live}");
                changes.note(format!("/servers: `{url}` is taken for `{mended}`"));
                server.insert("url".to_owned(), json!(mended));
            }
        }
    }
    for at in shape::operations(document)
        .iter()
        .filter(|operation| operation.node.get("servers").is_some())
        .map(shape::OperationAt::pointer)
        .collect::<Vec<_>>()
    {
        if let Some(operation) = document.pointer_mut(&at).and_then(Value::as_object_mut) {
            operation.remove("servers");
            changes.note(format!("{at}: its own server is left out"));
        }
    }
    Ok(changes)
}

fn first_url(servers: &Value) -> String {
    let url = servers.pointer("/0/url").and_then(Value::as_str);
    format!("`{}`", url.unwrap_or_default())
}

/// The servers that most operations have, of equals the first.
fn most_common(placed: &[Placed]) -> Option<Value> {
    let votes = |servers: &Option<Value>| {
        placed
            .iter()
            .filter(|other| other.servers == *servers)
            .count()
    };
    let mut best: Option<(usize, &Option<Value>)> = None;
    for one in placed {
        let votes = votes(&one.servers);
        if best.is_none_or(|(most, _)| votes > most) {
            best = Some((votes, &one.servers));
        }
    }
    best.and_then(|(_, servers)| servers.clone())
}

/// The paths again, with servers of their own only for operations that have others.
fn put_together(
    placed: Vec<Placed>,
    common: &Option<Value>,
    notes: &mut Vec<String>,
) -> Result<Value, Finding> {
    let mut paths = Map::new();
    for mut one in placed {
        if let (true, Some(servers), Some(operation)) = (
            one.servers != *common,
            &one.servers,
            one.operation.as_object_mut(),
        ) {
            notes.push(format!(
                "{} `{}` has a server of its own, {}",
                one.method.to_uppercase(),
                one.path,
                first_url(servers)
            ));
            operation.insert("servers".to_owned(), servers.clone());
        }
        let at = pointer::member(&pointer::member("/paths", &one.path), one.method);
        let item = paths.entry(one.path).or_insert_with(|| json!({}));
        if let Some(item) = item.as_object_mut()
            && item.insert(one.method.to_owned(), one.operation).is_some()
        {
            return Err(Finding::new(
                at,
                "two operations of the document have this address below the service's base path",
                "leave one of them in the vendor's file",
            ));
        }
    }
    Ok(Value::Object(paths))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_split_before_their_path() {
        for (url, expected) in [
            (
                "https://b2b.example.com/api/io",
                ("https://b2b.example.com", "/api/io"),
            ),
            ("https://b2b.example.com", ("https://b2b.example.com", "")),
            ("https://{host}/", ("https://{host}", "/")),
            ("/api/v3/io", ("", "/api/v3/io")),
            ("", ("", "")),
        ] {
            assert_eq!(split_address(url), expected, "{url}");
        }
        assert_eq!(below_base("/api/v3/io/keys"), "/keys");
        assert_eq!(below_base("/api/iota"), "/api/iota");
    }

    /// Server and path of one operation after normalising.
    fn normalised(server: Option<&str>, path: &str) -> (String, String) {
        let mut document = json!({"paths": {path: {"get": {}}}});
        if let Some(url) = server {
            document["servers"] = json!([{ "url": url }]);
        }
        normalise(&mut document, &mut Vec::new()).unwrap();
        let path = document["paths"]
            .as_object()
            .unwrap()
            .keys()
            .next()
            .cloned();
        (first_url(&document["servers"]), path.unwrap())
    }

    #[test]
    fn it_makes_no_difference_where_the_document_splits_an_address() {
        for (server, path, expected) in [
            (Some("https://h/api/io"), "/keys", "`https://h/api/io`"),
            (Some("https://h/api/io/"), "/keys", "`https://h/api/io/`"),
            (Some("https://h"), "/api/io/keys", "`https://h/api/io`"),
            (
                Some("https://h/"),
                "/api/v3/io/keys",
                "`https://h/api/v3/io`",
            ),
            (
                Some("https://h/api"),
                "/v3/io/keys",
                "`https://h/api/v3/io`",
            ),
            (
                Some("https://h/api/v3/io"),
                "/keys",
                "`https://h/api/v3/io`",
            ),
            (None, "/api/io/keys", "`/api/io`"),
            (
                Some("https://h/elsewhere"),
                "/keys",
                "`https://h/elsewhere`",
            ),
            (None, "/keys", "``"),
        ] {
            let (servers, path) = normalised(server, path);
            assert_eq!((servers.as_str(), path.as_str()), (expected, "/keys"));
        }
    }

    #[test]
    fn the_servers_of_most_are_the_documents_and_two_at_one_address_are_refused() {
        let mut document = json!({
            "servers": [{"url": "https://other/v3"}],
            "paths": {
                "/api/io/a": {"get": {"servers": [{"url": "https://h"}]}, "put": {"servers": [{"url": "https://h"}]}},
                "/b": {"get": {}},
            },
        });
        let mut notes = Vec::new();
        assert_eq!(normalise(&mut document, &mut notes), Ok(3));
        assert_eq!(document["servers"], json!([{"url": "https://h/api/io"}]));
        assert_eq!(document["paths"]["/a"]["get"], json!({}));
        assert_eq!(
            document["paths"]["/b"]["get"]["servers"],
            json!([{"url": "https://other/v3"}])
        );
        assert_eq!(notes.len(), 4, "{notes:#?}");
        let mut twice = json!({"paths": {"/api/io/a": {"get": {}}, "/api/v3/io/a": {"get": {}}}});
        let finding = normalise(&mut twice, &mut notes).unwrap_err();
        assert_eq!(finding.pointer, "/paths/~1a/get");
    }
}

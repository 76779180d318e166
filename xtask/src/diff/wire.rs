//! What a document says of the wire: operations with their URLs, credentials, parameters, bodies and replies.
//! Whatever OpenAPI lets a document say in several places is brought to one here; schemas are laid flat on demand.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::Unreadable;
use super::place::{Place, Reader};
use super::schema::{Node, Note, Topic, canonical};
use crate::passes::is_ignored_header;
use crate::select;
use crate::shape::METHODS;

/// A document's wire.
#[derive(Debug)]
pub(super) struct Wire<'a> {
    pub(super) operations: Vec<Operation<'a>>,
    /// The servers of the root, without what variables leave open, with where each stands.
    pub(super) servers: BTreeMap<String, String>,
    /// Texts of the document and of its servers.
    pub(super) notes: Vec<Note>,
    /// Texts of security schemes, by credential.
    pub(super) scheme_notes: BTreeMap<String, Vec<Note>>,
}

/// An operation.
#[derive(Debug)]
pub(super) struct Operation<'a> {
    pub(super) id: Option<&'a str>,
    pub(super) method: &'static str,
    /// The path as the document writes it.
    pub(super) path: &'a str,
    pub(super) at: String,
    /// Where its path stands.
    pub(super) path_at: String,
    /// Whole URLs without the names of path parameters, with where the server stands.
    pub(super) urls: BTreeMap<String, String>,
    /// Whether the servers are those of the root.
    pub(super) has_root_servers: bool,
    /// The sets of credentials that are accepted.
    pub(super) credentials: BTreeSet<BTreeSet<String>>,
    pub(super) security_at: Option<String>,
    pub(super) parameters: BTreeMap<(String, String), Parameter<'a>>,
    pub(super) body: Option<Body<'a>>,
    /// By status, in capitals.
    pub(super) replies: BTreeMap<String, Reply<'a>>,
    /// Whether the import would select it.
    pub(super) is_selected: bool,
    pub(super) notes: Vec<Note>,
}

impl Operation<'_> {
    /// What a report calls it.
    pub(super) fn label(&self) -> String {
        self.id.map_or_else(
            || format!("{} {}", self.method.to_uppercase(), self.path),
            str::to_owned,
        )
    }
}

/// A parameter, or a header of a reply.
#[derive(Clone, Debug)]
pub(super) struct Parameter<'a> {
    pub(super) location: &'a str,
    pub(super) name: &'a str,
    pub(super) at: String,
    pub(super) required: bool,
    pub(super) required_at: Option<String>,
    /// How its value is written into the request.
    pub(super) style: String,
    pub(super) style_at: Option<String>,
    /// What it takes beyond its values.
    pub(super) liberties: BTreeMap<&'static str, String>,
    pub(super) schema: Node<'a>,
    pub(super) notes: Vec<Note>,
}

/// A request body.
#[derive(Debug)]
pub(super) struct Body<'a> {
    pub(super) at: String,
    pub(super) required: bool,
    pub(super) required_at: Option<String>,
    pub(super) content: Content<'a>,
    pub(super) notes: Vec<Note>,
}

/// A reply.
#[derive(Debug)]
pub(super) struct Reply<'a> {
    pub(super) at: String,
    pub(super) content: Content<'a>,
    pub(super) headers: BTreeMap<String, Parameter<'a>>,
    pub(super) notes: Vec<Note>,
}

/// The media types of a body.
#[derive(Debug, Default)]
pub(super) struct Content<'a> {
    /// Media type to where it stands and its schema.
    pub(super) json: BTreeMap<String, (String, Node<'a>)>,
    /// Media type to where it stands and what it says.
    pub(super) other: BTreeMap<String, (String, String)>,
    pub(super) notes: Vec<Note>,
}

const ROOT_TEXTS: [&str; 3] = ["info", "tags", "externalDocs"];
const OPERATION_TEXTS: [&str; 4] = ["tags", "callbacks", "externalDocs", "deprecated"];

/// Reads the wire of a document.
pub(super) fn read<'a>(reader: &Reader<'a>) -> Result<Wire<'a>, Unreadable> {
    let root = reader.root();
    let mut notes = Vec::new();
    for key in ROOT_TEXTS {
        if let Some(place) = root.get(key) {
            if key == "info" {
                reader.mapping(&place)?;
                for (key, member) in place.members() {
                    notes.extend(text(reader, key, &member));
                }
            } else {
                notes.extend(text(reader, key, &place));
            }
        }
    }
    for (key, member) in root.members() {
        if key.starts_with("x-") || key == "webhooks" {
            notes.extend(text(reader, key, &member));
        }
    }
    let servers = read_servers(reader, root.get("servers"))?;
    for server in root
        .get("servers")
        .map(|servers| servers.elements())
        .unwrap_or_default()
    {
        for (key, member) in server.members() {
            if key != "url" && key != "variables" {
                notes.extend(text(reader, key, &member));
            }
        }
    }
    let mut wire = Wire {
        operations: Vec::new(),
        servers: servers.unwrap_or_else(|| BTreeMap::from([(String::new(), "/paths".to_owned())])),
        notes,
        scheme_notes: BTreeMap::new(),
    };
    let paths = root
        .get("paths")
        .map(|paths| paths.members())
        .unwrap_or_default();
    for (path, item) in paths {
        if path.starts_with("x-") {
            continue;
        }
        let path_at = item.shown();
        let item = reader.follow(item)?;
        for method in METHODS {
            if let Some(place) = item.get(method) {
                reader.mapping(&place)?;
                let operation =
                    operation(reader, &mut wire, path, &path_at, &item, method, &place)?;
                wire.operations.push(operation);
            }
        }
    }
    Ok(wire)
}

/// A note on a member that has no part in the wire, its references left as they are.
fn text<'a>(reader: &Reader<'a>, key: &str, member: &Place<'a>) -> Vec<Note> {
    reader.annotation(key, member)
}

/// The notes of an object whose members are facts but for `facts`.
fn texts<'a>(reader: &Reader<'a>, place: &Place<'a>, facts: &[&str]) -> Vec<Note> {
    place
        .members()
        .into_iter()
        .filter(|(key, _)| !facts.contains(key))
        .flat_map(|(key, member)| text(reader, key, &member))
        .collect()
}

/// The URLs of a list of servers, variables filled in. `None` where there is no list.
fn read_servers<'a>(
    reader: &Reader<'a>,
    place: Option<Place<'a>>,
) -> Result<Option<BTreeMap<String, String>>, Unreadable> {
    let Some(place) = place else {
        return Ok(None);
    };
    let mut servers = BTreeMap::new();
    for server in reader.list(&place)? {
        reader.mapping(&server)?;
        let at = server.get("url").unwrap_or_else(|| server.clone()).shown();
        for url in filled_in(&server) {
            servers
                .entry(tidy_server(&url))
                .or_insert_with(|| at.clone());
        }
    }
    Ok((!servers.is_empty()).then_some(servers))
}

/// The URLs of a server: one for each combination of what its variables allow, up to 64.
fn filled_in(server: &Place<'_>) -> Vec<String> {
    const MOST: usize = 64;
    let mut urls = vec![server.text("url").to_owned()];
    for (name, variable) in server
        .get("variables")
        .map(|it| it.members())
        .unwrap_or_default()
    {
        let mut values: Vec<&str> = variable
            .get("enum")
            .map(|list| list.elements())
            .unwrap_or_default()
            .iter()
            .filter_map(|value| value.node.as_str())
            .collect();
        if values.is_empty() || urls.len() * values.len() > MOST {
            values = vec![variable.text("default")];
        }
        let template = format!("{{{name}}}");
        urls = urls
            .iter()
            .flat_map(|url| values.iter().map(|value| url.replace(&template, value)))
            .collect();
    }
    urls
}

/// A server's URL without a trailing slash, scheme and host in small letters.
fn tidy_server(url: &str) -> String {
    let url = url.trim().trim_end_matches('/');
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let (host, path) = rest
        .find('/')
        .and_then(|slash| rest.split_at_checked(slash))
        .unwrap_or((rest, ""));
    format!(
        "{}://{}{path}",
        scheme.to_ascii_lowercase(),
        host.to_ascii_lowercase()
    )
}

/// A path with the names of its parameters left out: they are not on the wire.
pub(super) fn nameless(path: &str) -> String {
    let mut result = String::with_capacity(path.len());
    let mut inside = false;
    for character in path.chars() {
        match character {
            '{' => {
                inside = true;
                result.push_str("{}");
            }
            '}' => inside = false,
            _ if inside => {}
            other => result.push(other),
        }
    }
    result
}

fn operation<'a>(
    reader: &Reader<'a>,
    wire: &mut Wire<'a>,
    path: &'a str,
    path_at: &str,
    item: &Place<'a>,
    method: &'static str,
    place: &Place<'a>,
) -> Result<Operation<'a>, Unreadable> {
    let own_servers = match read_servers(reader, place.get("servers"))? {
        Some(servers) => Some(servers),
        None => read_servers(reader, item.get("servers"))?,
    };
    let has_root_servers = own_servers.is_none();
    let urls = own_servers
        .unwrap_or_else(|| wire.servers.clone())
        .into_iter()
        .map(|(server, at)| (format!("{server}{}", nameless(path)), at))
        .collect();
    let (credentials, security_at) = credentials(reader, wire, place)?;
    let mut notes = texts(reader, item, &[])
        .into_iter()
        .filter(|note| ["summary", "description"].contains(&note.keyword.as_str()))
        .collect::<Vec<_>>();
    for (key, member) in place.members() {
        if OPERATION_TEXTS.contains(&key)
            || ["summary", "description"].contains(&key)
            || key.starts_with("x-")
        {
            notes.extend(text(reader, key, &member));
        }
    }
    Ok(Operation {
        id: place.get("operationId").and_then(|id| id.node.as_str()),
        method,
        path,
        at: place.shown(),
        path_at: path_at.to_owned(),
        urls,
        has_root_servers,
        credentials,
        security_at,
        parameters: parameters(reader, path, item, place)?,
        body: body(reader, place)?,
        replies: replies(reader, place)?,
        is_selected: select::is_selected(place.node),
        notes,
    })
}

/// The sets of credentials that an operation accepts, and where that is said.
fn credentials<'a>(
    reader: &Reader<'a>,
    wire: &mut Wire<'a>,
    operation: &Place<'a>,
) -> Result<(BTreeSet<BTreeSet<String>>, Option<String>), Unreadable> {
    let Some(security) = operation
        .get("security")
        .or_else(|| reader.root().get("security"))
    else {
        return Ok((BTreeSet::from([BTreeSet::new()]), None));
    };
    let mut alternatives = BTreeSet::new();
    for alternative in reader.list(&security)? {
        reader.mapping(&alternative)?;
        let mut set = BTreeSet::new();
        for (name, scopes) in alternative.members() {
            let (credential, notes) = credential(reader, name)?;
            for scope in scopes.elements() {
                if let Some(scope) = scope.node.as_str() {
                    set.insert(format!("scope {scope} of {credential}"));
                }
            }
            wire.scheme_notes.insert(credential.clone(), notes);
            set.insert(credential);
        }
        alternatives.insert(set);
    }
    if alternatives.is_empty() {
        alternatives.insert(BTreeSet::new());
    }
    Ok((alternatives, Some(security.shown())))
}

/// A security scheme as what is sent, and what its texts say.
fn credential<'a>(reader: &Reader<'a>, name: &str) -> Result<(String, Vec<Note>), Unreadable> {
    let scheme = reader
        .root()
        .get("components")
        .and_then(|components| components.get("securitySchemes"))
        .and_then(|schemes| schemes.get(name));
    let Some(scheme) = scheme else {
        return Ok((format!("undefined scheme {name}"), Vec::new()));
    };
    let scheme = reader.follow(scheme)?;
    let sent = match scheme.text("type") {
        "apiKey" => match scheme.text("in") {
            "header" => format!("header {}", scheme.text("name")),
            location => format!("{location} parameter {}", scheme.text("name")),
        },
        "http" => format!("HTTP {}", scheme.text("scheme").to_ascii_lowercase()),
        "oauth2" => format!(
            "OAuth 2 {}",
            scheme
                .get("flows")
                .map(|flows| flow_urls(flows.node))
                .unwrap_or_default()
        ),
        "openIdConnect" => format!("OpenID Connect {}", scheme.text("openIdConnectUrl")),
        other => other.to_owned(),
    };
    let facts = ["type", "in", "name", "scheme", "flows", "openIdConnectUrl"];
    Ok((sent.trim_end().to_owned(), texts(reader, &scheme, &facts)))
}

/// The kinds of an OAuth flow with their URLs; the scopes' texts are none of the wire.
fn flow_urls(flows: &Value) -> String {
    let flows = flows.as_object().into_iter().flatten().map(|(kind, flow)| {
        let urls: Vec<&str> = ["authorizationUrl", "tokenUrl", "refreshUrl"]
            .iter()
            .filter_map(|key| flow.get(key).and_then(Value::as_str))
            .collect();
        format!("{kind} {}", urls.join(" "))
    });
    let flows: BTreeSet<String> = flows.collect();
    flows.into_iter().collect::<Vec<_>>().join(", ")
}

fn parameters<'a>(
    reader: &Reader<'a>,
    path: &str,
    item: &Place<'a>,
    operation: &Place<'a>,
) -> Result<BTreeMap<(String, String), Parameter<'a>>, Unreadable> {
    let names: Vec<&str> = path
        .split('{')
        .skip(1)
        .filter_map(|rest| rest.split_once('}').map(|(name, _)| name))
        .collect();
    let mut parameters = BTreeMap::new();
    // The operation's come last and replace the path's.
    for holder in [item, operation] {
        let Some(list) = holder.get("parameters") else {
            continue;
        };
        for place in reader.list(&list)? {
            let place = reader.follow(place)?;
            if is_ignored_header(reader.mapping(&place)?) {
                continue;
            }
            let location = place.text("in");
            let name = place.text("name");
            let key = match location {
                "header" => name.to_ascii_lowercase(),
                "path" => names
                    .iter()
                    .position(|other| *other == name)
                    .map_or_else(|| name.to_owned(), |index| index.to_string()),
                _ => name.to_owned(),
            };
            let parameter = parameter(reader, &place, location, name)?;
            parameters.insert((location.to_owned(), key), parameter);
        }
    }
    Ok(parameters)
}

fn parameter<'a>(
    reader: &Reader<'a>,
    place: &Place<'a>,
    location: &'a str,
    name: &'a str,
) -> Result<Parameter<'a>, Unreadable> {
    let content = place
        .get("content")
        .and_then(|content| content.members().into_iter().next());
    let schema = content
        .as_ref()
        .map_or_else(|| place.get("schema"), |(_, media)| media.get("schema"));
    let usual = match location {
        "query" | "cookie" => "form",
        _ => "simple",
    };
    let style = Some(place.text("style"))
        .filter(|style| !style.is_empty())
        .unwrap_or(usual);
    let explode = place
        .node
        .get("explode")
        .and_then(Value::as_bool)
        .unwrap_or(style == "form");
    let style = match &content {
        Some((media, _)) => (*media).to_owned(),
        None if explode => format!("{style}, exploded"),
        None => style.to_owned(),
    };
    let style_at = ["content", "explode", "style"]
        .iter()
        .find_map(|key| place.get(key))
        .map(|place| place.shown());
    let liberties = ["allowReserved", "allowEmptyValue"]
        .into_iter()
        .filter(|key| place.flag(key))
        .filter_map(|key| Some((key, place.get(key)?.shown())))
        .collect();
    let mut notes: Vec<Note> = Vec::new();
    for (key, member) in place.members() {
        if ["description", "example", "examples", "deprecated"].contains(&key)
            || key.starts_with("x-")
        {
            notes.extend(text(reader, key, &member));
        }
    }
    if location == "path" {
        notes.extend(place.get("name").map(|at| Note {
            topic: Topic::Other,
            keyword: "name".to_owned(),
            value: canonical(at.node),
            at: at.shown(),
        }));
    }
    Ok(Parameter {
        location,
        name,
        at: place.shown(),
        required: place.flag("required"),
        required_at: place.get("required").map(|place| place.shown()),
        style,
        style_at,
        liberties,
        schema: schema.map_or_else(|| Node::anything(&place.shown()), Node::of),
        notes,
    })
}

fn body<'a>(reader: &Reader<'a>, operation: &Place<'a>) -> Result<Option<Body<'a>>, Unreadable> {
    let Some(place) = operation.get("requestBody") else {
        return Ok(None);
    };
    let place = reader.follow(place)?;
    Ok(Some(Body {
        at: place.shown(),
        required: place.flag("required"),
        required_at: place.get("required").map(|place| place.shown()),
        content: content(reader, &place)?,
        notes: texts(reader, &place, &["required", "content"]),
    }))
}

fn replies<'a>(
    reader: &Reader<'a>,
    operation: &Place<'a>,
) -> Result<BTreeMap<String, Reply<'a>>, Unreadable> {
    let Some(responses) = operation.get("responses") else {
        return Ok(BTreeMap::new());
    };
    reader.mapping(&responses)?;
    let mut replies = BTreeMap::new();
    for (status, place) in responses.members() {
        if status.starts_with("x-") {
            continue;
        }
        let place = reader.follow(place)?;
        let mut headers = BTreeMap::new();
        for (name, header) in place
            .get("headers")
            .map(|it| it.members())
            .unwrap_or_default()
        {
            if !name.eq_ignore_ascii_case("content-type") {
                let header = reader.follow(header)?;
                let header = parameter(reader, &header, "header", name)?;
                headers.insert(name.to_ascii_lowercase(), header);
            }
        }
        let status = match status {
            "default" => status.to_owned(),
            other => other.to_ascii_uppercase(),
        };
        let reply = Reply {
            at: place.shown(),
            content: content(reader, &place)?,
            headers,
            notes: texts(reader, &place, &["content", "headers"]),
        };
        replies.insert(status, reply);
    }
    Ok(replies)
}

fn content<'a>(reader: &Reader<'a>, holder: &Place<'a>) -> Result<Content<'a>, Unreadable> {
    let mut content = Content::default();
    let Some(place) = holder.get("content") else {
        return Ok(content);
    };
    reader.mapping(&place)?;
    for (name, media) in place.members() {
        let media = reader.follow(media)?;
        let essence = name
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        if is_json(&essence) {
            let schema = media
                .get("schema")
                .map_or_else(|| Node::anything(&media.shown()), Node::of);
            content
                .notes
                .extend(texts(reader, &media, &["schema", "encoding"]));
            content.json.insert(essence, (media.shown(), schema));
        } else {
            let said = match media.node.as_object() {
                Some(members) if members.is_empty() => Value::Object(Map::new()),
                _ => reader.unfolded(&media, &mut Vec::new())?,
            };
            content
                .other
                .insert(essence, (media.shown(), canonical(&said)));
        }
    }
    Ok(content)
}

/// Whether a media type is JSON, or leaves room for it.
fn is_json(essence: &str) -> bool {
    let subtype = essence.split_once('/').map_or("", |(_, subtype)| subtype);
    essence == "*/*"
        || essence == "application/*"
        || subtype == "json"
        || subtype.ends_with("+json")
}

/// Whether a status, or a range of them, is a success.
pub(super) fn is_success(status: &str) -> bool {
    status.starts_with('2')
}

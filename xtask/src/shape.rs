//! The objects of an OpenAPI 3.0 document: which members each has, in which order they are written, which are prose.
//! One table serves dropping prose, canonical order and every walk, so that they cannot disagree.

use serde_json::Value;

use crate::error::Finding;
use crate::pointer;

/// What a node of the document is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The root.
    Document,
    /// `info`.
    Info,
    /// `servers`.
    Servers,
    /// An element of `servers`.
    Server,
    /// `paths`.
    Paths,
    /// A value of `paths`.
    PathItem,
    /// A method of a path.
    Operation,
    /// `parameters` as a list.
    Parameters,
    /// One parameter.
    Parameter,
    /// `requestBody`.
    RequestBody,
    /// `content`, keyed by media type.
    Content,
    /// A value of `content`.
    MediaType,
    /// `responses`, keyed by status.
    Responses,
    /// A value of `responses`.
    Response,
    /// `headers` of a response.
    Headers,
    /// One header of a response.
    Header,
    /// `components`.
    Components,
    /// `components.schemas` and `properties`: schemas by name.
    Schemas,
    /// A list of schemas: `allOf`, `oneOf`, `anyOf`.
    SchemaList,
    /// A schema.
    Schema,
    /// `components.securitySchemes`.
    SecuritySchemes,
    /// One security scheme.
    SecurityScheme,
    /// A fact without members of interest: a name, a bound, a list of names.
    Fact,
    /// Prose, examples and the like.
    Prose,
}

/// The HTTP methods of a path, in the order in which they are written.
pub const METHODS: [&str; 8] = [
    "get", "put", "post", "delete", "options", "head", "patch", "trace",
];

use Kind::{Fact, Prose};

const DOCUMENT: &[(&str, Kind)] = &[
    ("openapi", Fact),
    ("info", Kind::Info),
    ("servers", Kind::Servers),
    ("security", Fact),
    ("paths", Kind::Paths),
    ("components", Kind::Components),
    ("tags", Prose),
    ("externalDocs", Prose),
];
const INFO: &[(&str, Kind)] = &[
    ("title", Prose),
    ("description", Prose),
    ("version", Fact),
    ("termsOfService", Prose),
    ("contact", Prose),
    ("license", Prose),
];
const SERVER: &[(&str, Kind)] = &[("url", Fact), ("description", Prose), ("variables", Fact)];
const PATH_ITEM: &[(&str, Kind)] = &[
    ("$ref", Fact),
    ("summary", Prose),
    ("description", Prose),
    ("servers", Kind::Servers),
    ("parameters", Kind::Parameters),
    ("get", Kind::Operation),
    ("put", Kind::Operation),
    ("post", Kind::Operation),
    ("delete", Kind::Operation),
    ("options", Kind::Operation),
    ("head", Kind::Operation),
    ("patch", Kind::Operation),
    ("trace", Kind::Operation),
];
const OPERATION: &[(&str, Kind)] = &[
    ("operationId", Fact),
    ("summary", Prose),
    ("description", Prose),
    ("tags", Prose),
    ("externalDocs", Prose),
    ("deprecated", Fact),
    ("servers", Kind::Servers),
    ("security", Fact),
    ("parameters", Kind::Parameters),
    ("requestBody", Kind::RequestBody),
    ("responses", Kind::Responses),
    ("callbacks", Prose),
];
const PARAMETER: &[(&str, Kind)] = &[
    ("$ref", Fact),
    ("name", Fact),
    ("in", Fact),
    ("description", Prose),
    ("required", Fact),
    ("deprecated", Fact),
    ("allowEmptyValue", Fact),
    ("style", Fact),
    ("explode", Fact),
    ("allowReserved", Fact),
    ("schema", Kind::Schema),
    ("content", Kind::Content),
    ("example", Prose),
    ("examples", Prose),
];
const REQUEST_BODY: &[(&str, Kind)] = &[
    ("$ref", Fact),
    ("description", Prose),
    ("required", Fact),
    ("content", Kind::Content),
];
const MEDIA_TYPE: &[(&str, Kind)] = &[
    ("schema", Kind::Schema),
    ("encoding", Fact),
    ("example", Prose),
    ("examples", Prose),
];
const RESPONSE: &[(&str, Kind)] = &[
    ("$ref", Fact),
    ("description", Prose),
    ("headers", Kind::Headers),
    ("content", Kind::Content),
    ("links", Prose),
];
const COMPONENTS: &[(&str, Kind)] = &[
    ("schemas", Kind::Schemas),
    ("securitySchemes", Kind::SecuritySchemes),
];
const SCHEMA: &[(&str, Kind)] = &[
    ("$ref", Fact),
    ("title", Prose),
    ("description", Prose),
    ("deprecated", Fact),
    ("type", Fact),
    ("format", Fact),
    ("nullable", Fact),
    ("readOnly", Fact),
    ("writeOnly", Fact),
    ("enum", Fact),
    ("default", Fact),
    ("minimum", Fact),
    ("exclusiveMinimum", Fact),
    ("maximum", Fact),
    ("exclusiveMaximum", Fact),
    ("multipleOf", Fact),
    ("minLength", Fact),
    ("maxLength", Fact),
    ("pattern", Fact),
    ("minItems", Fact),
    ("maxItems", Fact),
    ("uniqueItems", Fact),
    ("items", Kind::Schema),
    ("minProperties", Fact),
    ("maxProperties", Fact),
    ("required", Fact),
    ("properties", Kind::Schemas),
    ("additionalProperties", Kind::Schema),
    ("allOf", Kind::SchemaList),
    ("oneOf", Kind::SchemaList),
    ("anyOf", Kind::SchemaList),
    ("not", Kind::Schema),
    ("discriminator", Fact),
    ("xml", Prose),
    ("externalDocs", Prose),
    ("example", Prose),
    ("examples", Prose),
];
const SECURITY_SCHEME: &[(&str, Kind)] = &[
    ("$ref", Fact),
    ("type", Fact),
    ("name", Fact),
    ("in", Fact),
    ("description", Prose),
    ("scheme", Fact),
    ("bearerFormat", Fact),
    ("flows", Fact),
    ("openIdConnectUrl", Fact),
];

impl Kind {
    /// The members of an object with fixed members, in the order in which they are written; `None` for a map by name, a
    /// list or a leaf.
    #[must_use]
    pub fn members(self) -> Option<&'static [(&'static str, Kind)]> {
        Some(match self {
            Self::Document => DOCUMENT,
            Self::Info => INFO,
            Self::Server => SERVER,
            Self::PathItem => PATH_ITEM,
            Self::Operation => OPERATION,
            Self::Parameter | Self::Header => PARAMETER,
            Self::RequestBody => REQUEST_BODY,
            Self::MediaType => MEDIA_TYPE,
            Self::Response => RESPONSE,
            Self::Components => COMPONENTS,
            Self::Schema => SCHEMA,
            Self::SecurityScheme => SECURITY_SCHEME,
            _ => return None,
        })
    }

    /// Whether `key` is one of the fixed members.
    #[must_use]
    pub fn has(self, key: &str) -> bool {
        let members = self.members().unwrap_or_default();
        members.iter().any(|(name, _)| *name == key)
    }

    /// What the member `key` of a node of this kind is.
    #[must_use]
    pub fn child(self, key: &str) -> Kind {
        if let Some(members) = self.members() {
            return members
                .iter()
                .find(|(name, _)| *name == key)
                .map_or(Prose, |(_, kind)| *kind);
        }
        match self {
            Self::Paths => Self::PathItem,
            Self::Content => Self::MediaType,
            Self::Responses => Self::Response,
            Self::Headers => Self::Header,
            Self::Schemas => Self::Schema,
            Self::SecuritySchemes => Self::SecurityScheme,
            other => other,
        }
    }

    /// What an element of a list of this kind is.
    #[must_use]
    pub fn element(self) -> Kind {
        match self {
            Self::Servers => Self::Server,
            Self::Parameters => Self::Parameter,
            Self::SchemaList => Self::Schema,
            other => other,
        }
    }

    /// The keys of an object of this kind in the order in which they are written: fixed members as the table has them,
    /// everything else by name. Never the order in which they came, which depends on a feature of `serde_json`.
    #[must_use]
    pub fn order(self, object: &serde_json::Map<String, Value>) -> Vec<&String> {
        let members = self.members().unwrap_or_default();
        let rank = |key: &str| {
            members
                .iter()
                .position(|(name, _)| *name == key)
                .unwrap_or(members.len())
        };
        let mut keys: Vec<&String> = object.keys().collect();
        keys.sort_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| a.cmp(b)));
        keys
    }
}

/// Calls `visit` for every node below and including `node`, children first, in written order.
///
/// # Errors
/// The first error of `visit`.
pub fn visit_mut(
    kind: Kind,
    at: &str,
    node: &mut Value,
    visit: &mut dyn FnMut(Kind, &str, &mut Value) -> Result<(), Finding>,
) -> Result<(), Finding> {
    match node {
        Value::Object(object) => {
            let keys: Vec<String> = kind.order(object).into_iter().cloned().collect();
            for key in keys {
                if let Some(child) = object.get_mut(&key) {
                    visit_mut(kind.child(&key), &pointer::member(at, &key), child, visit)?;
                }
            }
        }
        Value::Array(list) => {
            for (index, child) in list.iter_mut().enumerate() {
                visit_mut(kind.element(), &pointer::element(at, index), child, visit)?;
            }
        }
        _ => {}
    }
    visit(kind, at, node)
}

/// Calls `visit` for every node below and including `node`, parents first, in written order.
pub fn visit<'a>(
    kind: Kind,
    at: &str,
    node: &'a Value,
    visitor: &mut dyn FnMut(Kind, &str, &'a Value),
) {
    visitor(kind, at, node);
    match node {
        Value::Object(object) => {
            for key in kind.order(object) {
                if let Some(child) = object.get(key) {
                    visit(kind.child(key), &pointer::member(at, key), child, visitor);
                }
            }
        }
        Value::Array(list) => {
            for (index, child) in list.iter().enumerate() {
                visit(kind.element(), &pointer::element(at, index), child, visitor);
            }
        }
        _ => {}
    }
}

/// One operation of a document.
#[derive(Clone, Copy, Debug)]
pub struct OperationAt<'a> {
    /// The path it stands under.
    pub path: &'a str,
    /// Its method, in lower case.
    pub method: &'static str,
    /// The operation itself.
    pub node: &'a Value,
}

impl OperationAt<'_> {
    /// Its JSON pointer.
    #[must_use]
    pub fn pointer(&self) -> String {
        pointer::member(&pointer::member("/paths", self.path), self.method)
    }

    /// Its `operationId`, empty where there is none.
    #[must_use]
    pub fn id(&self) -> &str {
        self.node
            .get("operationId")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }
}

/// Every operation of the document: paths by name, methods in the fixed order.
#[must_use]
pub fn operations(document: &Value) -> Vec<OperationAt<'_>> {
    let mut found = Vec::new();
    if let Some(paths) = document.get("paths").and_then(Value::as_object) {
        for path in Kind::Paths.order(paths) {
            for method in METHODS {
                if let Some(node) = paths.get(path).and_then(|item| item.get(method)) {
                    found.push(OperationAt { path, method, node });
                }
            }
        }
    }
    found
}

//! What must not stand in a document that goes into the generator: what it panics on, refuses, or gets wrong in silence.
//! One row for each line of that list, so that a fault in a pass or an overlay becomes an error with a place and a remedy.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::error::Finding;
use crate::load::MAX_DEPTH;
use crate::operation_keys;
use crate::operations;
use crate::passes::{
    self, is_number, is_secret, is_secret_name, is_type_name, is_whole_number_name, pascal_case,
    rust_snake_case,
};
use crate::pointer;
use crate::shape::{self, Kind, OperationAt};

/// A rule of the document that goes into the generator.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// What findings and tests call it.
    pub name: &'static str,
    /// What the generator makes of it.
    pub becomes: &'static str,
    /// What to do about it.
    pub remedy: &'static str,
    /// Finds it.
    find: Find,
}

/// Where a place is, and what stands there.
type Place = (String, String);

#[derive(Clone, Copy, Debug)]
enum Find {
    /// In a schema.
    Schema(fn(&str, &Map<String, Value>) -> Option<String>),
    /// In a parameter.
    Parameter(fn(&Map<String, Value>) -> Option<String>),
    /// In an operation.
    Operation(fn(&OperationAt<'_>) -> Vec<Place>),
    /// Anywhere else.
    Document(fn(&Value) -> Vec<Place>),
}

/// Every rule, in the order in which it is checked. The first ones make sure that the others can be.
pub const ROWS: &[Row] = &[
    Row {
        name: "version",
        becomes: "refuses every version but OpenAPI 3.0",
        remedy: "import an OpenAPI 3.0 document",
        find: Find::Document(version),
    },
    Row {
        name: "shape",
        becomes: "refuses a document that is not formed as OpenAPI 3.0 has it",
        remedy: "correct it in the vendor's file or in the overlay",
        find: Find::Document(misshapen),
    },
    Row {
        name: "reference",
        becomes: "panics on a reference that is external or leads nowhere",
        remedy: "import the document again, or correct the `$ref` in the overlay: it must lead to `#/components/schemas/…`",
        find: Find::Document(references),
    },
    Row {
        name: "cycle",
        becomes: "recurses without end on some cycles of references",
        remedy: "break the cycle; a type that holds itself has no place in this API",
        find: Find::Document(cycles),
    },
    Row {
        name: "operation-id",
        becomes: "refuses an operation without a name",
        remedy: "state an `operationId` in the overlay",
        find: Find::Operation(operation_id),
    },
    Row {
        name: "operation-name-collision",
        becomes: "writes code that does not compile",
        remedy: "rename one of them in the overlay",
        find: Find::Document(operation_name_collisions),
    },
    Row {
        name: "argument-name-collision",
        becomes: "writes code that does not compile",
        remedy: "remove one of them in the overlay",
        find: Find::Operation(argument_name_collisions),
    },
    Row {
        name: "schema-name",
        becomes: "renames the type, and two may become one",
        remedy: "rename it in the overlay: words in upper camel case, ASCII letters and digits",
        find: Find::Document(schema_names),
    },
    Row {
        name: "schema-shadows-inline",
        becomes: "takes the component for the operation's own body or reply",
        remedy: "rename the component in the overlay",
        find: Find::Document(shadowing_schemas),
    },
    Row {
        name: "field-name-collision",
        becomes: "writes code that does not compile",
        remedy: "drop one of the two fields in the overlay",
        find: Find::Schema(field_name_collisions),
    },
    Row {
        name: "path-template",
        becomes: "refuses or panics on the path",
        remedy: "declare each name in braces as a required path parameter, and no other",
        find: Find::Operation(path_template),
    },
    Row {
        name: "failure-reply",
        becomes: "gives two error types one name, panics on ranges, discards bodies, and takes a proxy's HTML for a broken payload",
        remedy: "the pass `success-only` should have dropped it: the transport classifies failures",
        find: Find::Operation(failure_replies),
    },
    Row {
        name: "one-success",
        becomes: "panics on a reply with a body beside one without",
        remedy: "keep exactly one 2xx reply, in the pass `one-success` or the overlay",
        find: Find::Operation(one_success),
    },
    Row {
        name: "unknown-status",
        becomes: "panics when it names the mock's method after the status",
        remedy: "state a registered status in the overlay, such as 200",
        find: Find::Operation(unknown_statuses),
    },
    Row {
        name: "inline-body",
        becomes: "gives two inline schemas of one operation one name, the first wins for both",
        remedy: "the pass `name-schemas` should have moved it to the components",
        find: Find::Document(inline_bodies),
    },
    Row {
        name: "media-type",
        becomes: "panics on two media types and refuses or streams what is not plain JSON",
        remedy: "keep `application/json` alone, in the pass `json-only` or the overlay",
        find: Find::Document(media_types),
    },
    Row {
        name: "content-without-schema",
        becomes: "panics",
        remedy: "state a schema in the overlay",
        find: Find::Document(content_without_schema),
    },
    Row {
        name: "optional-body",
        becomes: "makes the body a required argument all the same",
        remedy: "state `required: true` in the overlay, or take the body away",
        find: Find::Operation(optional_body),
    },
    Row {
        name: "cookie-parameter",
        becomes: "refuses cookies",
        remedy: "remove the parameter in the overlay",
        find: Find::Parameter(|parameter| {
            (text(parameter, "in") == "cookie").then(|| "stands in a cookie".to_owned())
        }),
    },
    Row {
        name: "ignored-header",
        becomes: "makes it an argument of the method",
        remedy: "the pass `ignored-headers` should have dropped it: OpenAPI says to ignore it",
        find: Find::Parameter(|parameter| {
            passes::is_ignored_header(parameter)
                .then(|| "is a header that OpenAPI says to ignore".to_owned())
        }),
    },
    Row {
        name: "credential-parameter",
        becomes: "makes a credential an argument that every caller could forget",
        remedy: "make it a security scheme in the overlay, so that the transport sends it",
        find: Find::Document(credential_parameters),
    },
    Row {
        name: "secret-parameter",
        becomes: "writes code that does not compile, since the secret type has no `Display`",
        remedy: "make the header a security scheme in the overlay, or remove the operation whose path holds a secret",
        find: Find::Parameter(secret_parameter),
    },
    Row {
        name: "optional-path-parameter",
        becomes: "refuses the operation",
        remedy: "state `required: true` in the overlay",
        find: Find::Parameter(|parameter| {
            (text(parameter, "in") == "path" && parameter.get("required") != Some(&json!(true)))
                .then(|| "is an optional part of the path".to_owned())
        }),
    },
    Row {
        name: "parameter-style",
        becomes: "panics on `deepObject` and ignores the other styles",
        remedy: "remove `style`, `explode` and `allowReserved` in the overlay, or the parameter",
        find: Find::Parameter(parameter_style),
    },
    Row {
        name: "parameter-type",
        becomes: "writes a query that the service does not read, or panics",
        remedy: "state a plain `schema` in the overlay: string, integer, number or boolean",
        find: Find::Parameter(parameter_type),
    },
    Row {
        name: "credentials",
        becomes: "ignores security; the table of operations states it, and can state headers only",
        remedy: "state a scheme of type `apiKey` in a header in the overlay",
        find: Find::Document(credentials),
    },
    Row {
        name: "allof-disagree",
        becomes: "makes an empty enum: every reply fails to parse",
        remedy: "the pass `merge-allof` should have merged it; write out in the overlay what holds",
        find: Find::Document(allof_that_disagree),
    },
    Row {
        name: "allof-closed",
        becomes: "loses the fields of the other branches",
        remedy: "remove `additionalProperties: false` in the overlay",
        find: Find::Schema(|_, schema| {
            list(schema, "allOf")
                .iter()
                .any(|branch| branch.get("additionalProperties") == Some(&json!(false)))
                .then(|| "a branch of allOf is closed".to_owned())
        }),
    },
    Row {
        name: "allof",
        becomes: "merges branches by rules of its own, in silence",
        remedy: "the pass `merge-allof` should have merged it; write out in the overlay what holds",
        find: Find::Schema(|_, schema| {
            (list(schema, "allOf").len() > 1).then(|| "has an allOf of several branches".to_owned())
        }),
    },
    Row {
        name: "anyof",
        becomes: "makes one struct of all branches, whose fields can contradict each other",
        remedy: "write `oneOf` in the overlay",
        find: Find::Schema(|_, schema| has(schema, "anyOf", "a choice by anyOf")),
    },
    Row {
        name: "not",
        becomes: "makes a type that accepts nothing or everything",
        remedy: "remove `not` in the overlay",
        find: Find::Schema(|_, schema| has(schema, "not", "a negation")),
    },
    Row {
        name: "type",
        becomes: "refuses or panics on a type that OpenAPI 3.0 has not",
        remedy: "state one of string, integer, number, boolean, array, object in the overlay",
        find: Find::Schema(unknown_type),
    },
    Row {
        name: "number-id",
        becomes: "makes it f64",
        remedy: "state `type: integer` in the overlay",
        find: Find::Schema(|at, schema| {
            let name = passes::property_name(at)?;
            (is_whole_number_name(&name) && is_number(schema))
                .then(|| format!("`{name}` is a whole number and has the type `number`"))
        }),
    },
    Row {
        name: "default",
        becomes: "makes the field never optional and always sent, and panics on a default that does not fit its type",
        remedy: "the pass `no-defaults` should have dropped it",
        find: Find::Schema(|_, schema| has(schema, "default", "a default")),
    },
    Row {
        name: "closed-enum",
        becomes: "fails the whole reply on a new value",
        remedy: "the pass `open-enums` should have opened it",
        find: Find::Schema(|_, schema| has(schema, "enum", "a closed list of values")),
    },
    Row {
        name: "closed-object",
        becomes: "fails the whole reply on a new field",
        remedy: "the pass `open-objects` should have opened it",
        find: Find::Schema(|_, schema| {
            (schema.get("additionalProperties") == Some(&json!(false)))
                .then(|| "forbids fields that it does not know".to_owned())
        }),
    },
    Row {
        name: "bound",
        becomes: "makes a type that refuses what the service may accept one day",
        remedy: "the pass `no-bounds` should have dropped it",
        find: Find::Schema(|_, schema| {
            passes::BOUNDS
                .iter()
                .find(|bound| schema.contains_key(**bound))
                .map(|bound| format!("is bounded by `{bound}`"))
        }),
    },
    Row {
        name: "format",
        becomes: "brings in a crate for it, or refuses what the service accepts",
        remedy: "the pass `plain-formats` should have dropped it",
        find: Find::Schema(|_, schema| {
            let format = schema.get("format")?;
            (!is_secret(schema)).then(|| format!("has the format {format}"))
        }),
    },
    Row {
        name: "secret-constrained",
        becomes: "makes a plain string or a newtype whose Debug prints the secret",
        remedy: "the pass `bare-secrets` should have left nothing beside type and format",
        find: Find::Schema(secret_constrained),
    },
    Row {
        name: "secret-unmarked",
        becomes: "makes a plain string, which any Debug prints",
        remedy: "state `format: password` in the overlay",
        find: Find::Document(secrets_unmarked),
    },
    Row {
        name: "extension",
        becomes: "takes some extensions as orders, and `x-` beside a secret makes it a plain string",
        remedy: "remove it in the overlay, or correct its spelling: an operation can have `x-sdk-name`, `x-repeatable`, \
                 `x-absent-is-done` and `x-issued-token`",
        find: Find::Document(extensions),
    },
    Row {
        name: "sdk-name",
        becomes: "leaves it to the table of operations, whose names are unique identifiers",
        remedy: "state another name in `x-sdk-name` in the overlay, such as `mint_storefront_token`",
        find: Find::Document(operation_keys::names),
    },
    Row {
        name: "operation-flag",
        becomes: "leaves it to the table of operations, which takes everything but `true` for false",
        remedy: "state `true` or `false` in the overlay, without quotation marks",
        find: Find::Operation(operation_keys::flags),
    },
    Row {
        name: "absent-is-done",
        becomes: "leaves it to the table of operations, where it would have no effect",
        remedy: "state `x-repeatable: true` for the operation in the overlay, or remove `x-absent-is-done`",
        find: Find::Operation(operation_keys::absent_but_not_repeated),
    },
    Row {
        name: "issued-token",
        becomes: "leaves it to the table of operations, by which the SDK would find no token",
        remedy: "state in the overlay the names that lead to the token, such as `[data, token]`",
        find: Find::Operation(operation_keys::issued_tokens),
    },
];

/// Every finding of every row, in the order of the rows.
#[must_use]
pub fn check(document: &Value) -> Vec<Finding> {
    ROWS.iter()
        .flat_map(|row| {
            row.places(document).into_iter().map(|(at, what)| {
                Finding::new(
                    at,
                    format!("[{}] {what}; the generator {}", row.name, row.becomes),
                    row.remedy,
                )
            })
        })
        .collect()
}

impl Row {
    fn places(&self, document: &Value) -> Vec<Place> {
        let mut places = Vec::new();
        match self.find {
            Find::Schema(find) => for_each(document, Kind::Schema, |at, schema| {
                places.extend(find(at, schema).map(|what| (at.to_owned(), what)));
            }),
            Find::Parameter(find) => for_each(document, Kind::Parameter, |at, parameter| {
                places.extend(find(parameter).map(|what| {
                    (
                        at.to_owned(),
                        format!("parameter `{}` {what}", text(parameter, "name")),
                    )
                }));
            }),
            Find::Operation(find) => {
                for operation in shape::operations(document) {
                    places.extend(find(&operation));
                }
            }
            Find::Document(find) => places = find(document),
        }
        places
    }
}

/// What our own document must have a description for and has not: operations, parameters, schemas and fields.
#[must_use]
pub fn undescribed(document: &Value) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut miss = |at: String, what: &str| {
        findings.push(Finding::new(
            at,
            format!("[undescribed] {what} has no description"),
            "describe it in openapi/overlay.yaml, in our own words",
        ));
    };
    for operation in shape::operations(document) {
        if !is_described(operation.node) || operation.node.get("summary").is_none() {
            miss(operation.pointer(), "the operation");
        }
    }
    shape::visit(Kind::Document, "", document, &mut |kind, at, node| {
        let what = match kind {
            Kind::Parameter => "the parameter",
            Kind::SecurityScheme => "the security scheme",
            Kind::Schema if passes::property_name(at).is_some() => "the field",
            Kind::Schema if pointer::segments(at).count() == 3 => "the schema",
            _ => return,
        };
        // A field that is a reference is described where it leads.
        if !is_described(node) && node.get("$ref").is_none() {
            miss(at.to_owned(), what);
        }
    });
    findings
}

fn is_described(node: &Value) -> bool {
    node.get("description")
        .and_then(Value::as_str)
        .is_some_and(|text| !text.trim().is_empty())
}

// ---- small readers -----------------------------------------------------------------------------------------------

fn for_each<'a>(
    document: &'a Value,
    wanted: Kind,
    mut found: impl FnMut(&str, &'a Map<String, Value>),
) {
    shape::visit(Kind::Document, "", document, &mut |kind, at, node| {
        if kind == wanted
            && let Some(object) = node.as_object()
        {
            found(at, object);
        }
    });
}

fn text<'a>(object: &'a Map<String, Value>, key: &str) -> &'a str {
    object.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(object: &'a Map<String, Value>, key: &str) -> &'a [Value] {
    object
        .get(key)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

fn has(schema: &Map<String, Value>, key: &str, what: &str) -> Option<String> {
    schema.contains_key(key).then(|| format!("has {what}"))
}

fn replies<'a>(operation: &OperationAt<'a>) -> Vec<(&'a String, &'a Value)> {
    operation
        .node
        .get("responses")
        .and_then(Value::as_object)
        .map(|responses| {
            Kind::Responses
                .order(responses)
                .into_iter()
                .filter_map(|status| Some((status, responses.get(status)?)))
                .collect()
        })
        .unwrap_or_default()
}

fn components(document: &Value) -> Vec<(&String, &Value)> {
    document
        .pointer("/components/schemas")
        .and_then(Value::as_object)
        .map(|schemas| {
            Kind::Schemas
                .order(schemas)
                .into_iter()
                .filter_map(|name| Some((name, schemas.get(name)?)))
                .collect()
        })
        .unwrap_or_default()
}

fn component_at(name: &str) -> String {
    pointer::member("/components/schemas", name)
}

/// The component that a reference leads to.
fn target(node: &Value) -> Option<&str> {
    node.get("$ref")?
        .as_str()?
        .strip_prefix("#/components/schemas/")
}

// ---- the rows ----------------------------------------------------------------------------------------------------

fn version(document: &Value) -> Vec<Place> {
    match document.get("openapi").and_then(Value::as_str) {
        Some(version) if version.starts_with("3.0.") => Vec::new(),
        Some(version) => vec![("/openapi".to_owned(), format!("is OpenAPI {version}"))],
        None => vec![(String::new(), "has no `openapi` version".to_owned())],
    }
}

/// What a member must be, and whether its object is worth nothing without it.
#[derive(Clone, Copy)]
enum Form {
    Text,
    Flag,
    List,
    Mapping,
}

impl Form {
    fn fits(self, node: &Value) -> bool {
        match self {
            Self::Text => node.is_string(),
            Self::Flag => node.is_boolean(),
            Self::List => node.is_array(),
            Self::Mapping => node.is_object(),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Text => "a string",
            Self::Flag => "true or false",
            Self::List => "a list",
            Self::Mapping => "a mapping",
        }
    }
}

/// The members of an object that it must have, and their forms.
fn needed(kind: Kind) -> &'static [(&'static str, Form)] {
    match kind {
        Kind::Document => &[
            ("openapi", Form::Text),
            ("info", Form::Mapping),
            ("paths", Form::Mapping),
        ],
        Kind::Info => &[("title", Form::Text), ("version", Form::Text)],
        Kind::Server => &[("url", Form::Text)],
        Kind::Operation => &[("responses", Form::Mapping)],
        Kind::Parameter => &[("name", Form::Text), ("in", Form::Text)],
        Kind::RequestBody => &[("content", Form::Mapping)],
        Kind::Response => &[("description", Form::Text)],
        Kind::SecurityScheme => &[("type", Form::Text)],
        _ => &[],
    }
}

/// The form of a member that may be left out.
fn form(kind: Kind, key: &str) -> Option<Form> {
    Some(match (kind, key) {
        (Kind::Schema, "required" | "enum") | (_, "security") => Form::List,
        (
            _,
            "required" | "deprecated" | "nullable" | "readOnly" | "writeOnly" | "explode"
            | "allowReserved" | "allowEmptyValue",
        ) => Form::Flag,
        (
            _,
            "operationId" | "summary" | "description" | "title" | "format" | "style" | "name"
            | "in" | "scheme" | "bearerFormat",
        ) => Form::Text,
        (Kind::Server, "variables") => Form::Mapping,
        _ => return None,
    })
}

fn misshapen(document: &Value) -> Vec<Place> {
    let mut places = Vec::new();
    shape::visit(Kind::Document, "", document, &mut |kind, at, node| {
        let is_list = matches!(kind, Kind::Servers | Kind::Parameters | Kind::SchemaList);
        if is_list {
            if !node.is_array() {
                places.push((at.to_owned(), "is not a list".to_owned()));
            }
            return;
        }
        let is_map = !matches!(kind, Kind::Fact | Kind::Prose);
        let Some(object) = node.as_object() else {
            let open = at.ends_with("/additionalProperties") && node.is_boolean();
            if is_map && !open {
                places.push((at.to_owned(), "is not a mapping".to_owned()));
            }
            return;
        };
        if kind.members().is_none() || object.contains_key("$ref") {
            return;
        }
        for (key, form) in needed(kind) {
            if !object.get(*key).is_some_and(|member| form.fits(member)) {
                places.push((
                    at.to_owned(),
                    format!("has no `{key}` that is {}", form.name()),
                ));
            }
        }
        for key in kind.order(object) {
            let needed = needed(kind).iter().any(|(name, _)| name == key);
            if let (false, Some(form), Some(member)) = (needed, form(kind, key), object.get(key))
                && !form.fits(member)
            {
                places.push((pointer::member(at, key), format!("is not {}", form.name())));
            }
        }
        if kind == Kind::Parameter
            && !["query", "header", "path", "cookie"].contains(&text(object, "in"))
        {
            places.push((
                at.to_owned(),
                format!("stands in `{}`, which is no place", text(object, "in")),
            ));
        }
        if kind == Kind::Header
            && !["schema", "content"]
                .iter()
                .any(|key| object.contains_key(*key))
        {
            places.push((at.to_owned(), "has no `schema` and no `content`".to_owned()));
        }
        if kind == Kind::Server {
            places.extend(misshapen_server(at, object));
        }
        let unread = match kind {
            Kind::SecurityScheme => unreadable::<openapiv3::SecurityScheme>(node),
            Kind::Schema => object
                .get("discriminator")
                .and_then(unreadable::<openapiv3::Discriminator>),
            Kind::MediaType => object
                .get("encoding")
                .and_then(unreadable::<BTreeMap<String, openapiv3::Encoding>>),
            _ => None,
        };
        places.extend(unread.map(|why| (at.to_owned(), why)));
        let requirements = list(object, "security").iter().enumerate();
        for (index, requirement) in
            requirements.filter(|(_, requirement)| !is_requirement(requirement))
        {
            let at = pointer::element(&pointer::member(at, "security"), index);
            places.push((at, format!("{requirement} does not map schemes to lists")));
        }
        if kind == Kind::Schema
            && list(object, "required")
                .iter()
                .any(|name| !name.is_string())
        {
            places.push((
                pointer::member(at, "required"),
                "requires what is no name".to_owned(),
            ));
        }
    });
    places
}

fn is_requirement(node: &Value) -> bool {
    let is_list = |scopes: &Value| {
        scopes
            .as_array()
            .is_some_and(|scopes| scopes.iter().all(Value::is_string))
    };
    node.as_object()
        .is_some_and(|schemes| schemes.values().all(is_list))
}

/// Why `node` is not what the generator reads there.
fn unreadable<T: serde::de::DeserializeOwned>(node: &Value) -> Option<String> {
    let error = T::deserialize(node).err()?;
    Some(format!("cannot be read: {error}"))
}

fn misshapen_server(at: &str, server: &Map<String, Value>) -> Vec<Place> {
    let mut places = Vec::new();
    if template_names(text(server, "url")).is_none() {
        places.push((
            pointer::member(at, "url"),
            "has braces that do not pair".to_owned(),
        ));
    }
    if let Some(variables) = server.get("variables").and_then(Value::as_object) {
        let at = pointer::member(at, "variables");
        for name in Kind::Schemas.order(variables) {
            let variable = variables.get(name);
            let default = variable.and_then(|variable| variable.get("default"));
            let values = variable.and_then(|variable| variable.get("enum"));
            let are_texts = values.is_none_or(|values| {
                values
                    .as_array()
                    .is_some_and(|values| values.iter().all(Value::is_string))
            });
            if !default.is_some_and(Value::is_string) || !are_texts {
                places.push((
                    pointer::member(&at, name),
                    "is no variable with a `default` that is a string".to_owned(),
                ));
            }
        }
    }
    places
}

/// The names in braces of a path or an address; `None` where braces do not pair.
fn template_names(template: &str) -> Option<Vec<&str>> {
    let mut names = Vec::new();
    let mut rest = template;
    while let Some(place) = rest.find(['{', '}']) {
        let name = rest.get(place..)?.strip_prefix('{')?;
        let (name, after) = name.split_once('}')?;
        if name.is_empty() || name.contains('{') {
            return None;
        }
        names.push(name);
        rest = after;
    }
    Some(names)
}

fn references(document: &Value) -> Vec<Place> {
    let mut places = Vec::new();
    shape::visit(Kind::Document, "", document, &mut |kind, at, node| {
        let Some(reference) = node.get("$ref") else {
            return;
        };
        if matches!(kind, Kind::Fact | Kind::Prose | Kind::Schemas) {
            return;
        }
        let at = pointer::member(at, "$ref");
        let exists =
            target(node).is_some_and(|name| document.pointer(&component_at(name)).is_some());
        if kind != Kind::Schema {
            places.push((
                at,
                format!("{reference} stands for something that is not a schema"),
            ));
        } else if !exists {
            places.push((at, format!("{reference} leads to no component")));
        }
    });
    places
}

fn cycles(document: &Value) -> Vec<Place> {
    let mut places = Vec::new();
    let mut done = Vec::new();
    for (name, _) in components(document) {
        let mut path = Vec::new();
        follow(document, name, &mut path, &mut done, &mut places);
    }
    places
}

/// Follows the references of component `name`, depth first.
fn follow<'a>(
    document: &'a Value,
    name: &'a str,
    path: &mut Vec<&'a str>,
    done: &mut Vec<&'a str>,
    places: &mut Vec<Place>,
) {
    if let Some(start) = path.iter().position(|seen| *seen == name) {
        let cycle: Vec<&str> = path.iter().skip(start).copied().chain([name]).collect();
        places.push((
            component_at(name),
            format!("is a cycle of references: {}", cycle.join(" → ")),
        ));
        return;
    }
    if done.contains(&name) {
        return;
    }
    if path.len() >= MAX_DEPTH {
        places.push((
            component_at(name),
            format!("stands more than {MAX_DEPTH} references deep"),
        ));
        return;
    }
    path.push(name);
    if let Some(schema) = document.pointer(&component_at(name)) {
        let mut next = Vec::new();
        shape::visit(Kind::Schema, "", schema, &mut |kind, _, node| {
            if kind == Kind::Schema {
                next.extend(target(node));
            }
        });
        for name in next {
            follow(document, name, path, done, places);
        }
    }
    path.pop();
    done.push(name);
}

fn operation_id(operation: &OperationAt<'_>) -> Vec<Place> {
    if rust_snake_case(operation.id()).starts_with(|first: char| first.is_ascii_lowercase()) {
        Vec::new()
    } else {
        vec![(
            operation.pointer(),
            format!(
                "`operationId` is missing or no name for a method: `{}`",
                operation.id()
            ),
        )]
    }
}

/// Methods that the generated client has already.
const TAKEN: [&str; 9] = [
    "api_version",
    "baseurl",
    "client",
    "exec",
    "inner",
    "new",
    "new_with_client",
    "post",
    "pre",
];

fn operation_name_collisions(document: &Value) -> Vec<Place> {
    let taken = TAKEN.iter().map(|name| (*name, "the client's own method"));
    let mut seen: BTreeMap<String, String> = taken
        .chain([("all", "the table of operations")])
        .map(|(name, whose)| (name.to_owned(), whose.to_owned()))
        .collect();
    let mut places = Vec::new();
    for operation in shape::operations(document) {
        // The method, and the type of its calls. Two ids can differ in the one and not in the other.
        let method = rust_snake_case(operation.id());
        let mut names = vec![method, pascal_case(operation.id())];
        names.retain(|name| !name.is_empty());
        for name in names {
            let id = format!("`{}`", operation.id());
            if let Some(other) = seen.insert(name.clone(), id.clone()) {
                let what = format!("{id} and {other} are both called `{name}` in Rust");
                places.push((operation.pointer(), what));
                break;
            }
        }
    }
    places
}

/// Arguments that two parameters, or a parameter and something of the method's own, would have to share.
fn argument_name_collisions(operation: &OperationAt<'_>) -> Vec<Place> {
    let mut seen: BTreeMap<String, String> =
        BTreeMap::from([("header_map".to_owned(), "the method's headers".to_owned())]);
    if operation.node.get("requestBody").is_some() {
        seen.insert("body".to_owned(), "the body".to_owned());
    }
    let at = pointer::member(&operation.pointer(), "parameters");
    let parameters = operation.node.get("parameters").and_then(Value::as_array);
    let mut places = Vec::new();
    for (index, parameter) in parameters.into_iter().flatten().enumerate() {
        let name = parameter.get("name").and_then(Value::as_str);
        let name = name.unwrap_or_default();
        let argument = rust_snake_case(name);
        if argument.is_empty() {
            continue;
        }
        if let Some(other) = seen.insert(argument.clone(), format!("`{name}`")) {
            let what = format!("`{name}` and {other} are both called `{argument}` in Rust");
            places.push((pointer::element(&at, index), what));
        }
    }
    places
}

fn schema_names(document: &Value) -> Vec<Place> {
    components(document)
        .into_iter()
        .filter(|(name, _)| !is_type_name(name))
        .map(|(name, _)| {
            (
                component_at(name),
                format!("`{name}` is no name of a Rust type"),
            )
        })
        .collect()
}

fn shadowing_schemas(document: &Value) -> Vec<Place> {
    let mut places = Vec::new();
    for operation in shape::operations(document) {
        for suffix in ["Response", "Body", "Error"] {
            let name = format!("{}{suffix}", pascal_case(operation.id()));
            if document.pointer(&component_at(&name)).is_some() {
                places.push((
                    component_at(&name),
                    format!(
                        "has the name that the generator uses for `{}` itself",
                        operation.id()
                    ),
                ));
            }
        }
    }
    places
}

fn field_name_collisions(_: &str, schema: &Map<String, Value>) -> Option<String> {
    let properties = schema.get("properties")?.as_object()?;
    let mut seen: BTreeMap<String, &String> = BTreeMap::new();
    for name in Kind::Schemas.order(properties) {
        let field = rust_snake_case(name);
        if !field.starts_with(|first: char| first.is_ascii_lowercase()) {
            return Some(format!("`{name}` is no name of a Rust field"));
        }
        if let Some(other) = seen.insert(field.clone(), name) {
            return Some(format!(
                "`{other}` and `{name}` are both called `{field}` in Rust"
            ));
        }
    }
    None
}

fn path_template(operation: &OperationAt<'_>) -> Vec<Place> {
    let names = template_names(operation.path);
    let balanced = names.is_some();
    let mut wanted = names.unwrap_or_default();
    let mut given: Vec<&str> = operation
        .node
        .get("parameters")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_object)
        .filter(|parameter| text(parameter, "in") == "path")
        .map(|parameter| text(parameter, "name"))
        .collect();
    wanted.sort_unstable();
    given.sort_unstable();
    if operation.path.starts_with('/') && balanced && wanted == given {
        Vec::new()
    } else {
        vec![(
            operation.pointer(),
            format!(
                "path `{}` has the parameters [{}]",
                operation.path,
                given.join(", ")
            ),
        )]
    }
}

fn failure_replies(operation: &OperationAt<'_>) -> Vec<Place> {
    let at = pointer::member(&operation.pointer(), "responses");
    replies(operation)
        .into_iter()
        .filter(|(status, _)| !passes::is_success(status))
        .map(|(status, _)| {
            (
                pointer::member(&at, status),
                format!("`{status}` is not a single 2xx status"),
            )
        })
        .collect()
}

fn one_success(operation: &OperationAt<'_>) -> Vec<Place> {
    let successes = replies(operation)
        .into_iter()
        .filter(|(status, _)| passes::is_success(status))
        .count();
    if successes == 1 {
        Vec::new()
    } else {
        let at = pointer::member(&operation.pointer(), "responses");
        vec![(at, format!("has {successes} success replies"))]
    }
}

/// The success statuses that are registered, and so have a name.
const NAMED_STATUSES: [&str; 10] = [
    "200", "201", "202", "203", "204", "205", "206", "207", "208", "226",
];

fn unknown_statuses(operation: &OperationAt<'_>) -> Vec<Place> {
    let at = pointer::member(&operation.pointer(), "responses");
    replies(operation)
        .into_iter()
        .filter(|(status, _)| {
            passes::is_success(status) && !NAMED_STATUSES.contains(&status.as_str())
        })
        .map(|(status, _)| {
            let what = format!("`{status}` is no registered status");
            (pointer::member(&at, status), what)
        })
        .collect()
}

fn inline_bodies(document: &Value) -> Vec<Place> {
    let mut places = Vec::new();
    for_each(document, Kind::Schema, |at, schema| {
        let component =
            pointer::segments(at).count() == 3 && at.starts_with("/components/schemas/");
        let composed = ["properties", "oneOf", "anyOf"]
            .iter()
            .any(|key| schema.contains_key(*key));
        if composed && !component {
            places.push((
                at.to_owned(),
                "has fields or a choice, and no name".to_owned(),
            ));
        }
    });
    places
}

fn media_types(document: &Value) -> Vec<Place> {
    let mut places = Vec::new();
    for_each(document, Kind::Content, |at, content| {
        let names: Vec<&str> = Kind::Content
            .order(content)
            .into_iter()
            .map(String::as_str)
            .collect();
        if names != ["application/json"] {
            places.push((
                at.to_owned(),
                format!("has the media types [{}]", names.join(", ")),
            ));
        }
    });
    places
}

fn content_without_schema(document: &Value) -> Vec<Place> {
    let mut places = Vec::new();
    for_each(document, Kind::MediaType, |at, body| {
        if !body.contains_key("schema") {
            places.push((at.to_owned(), "is content without a schema".to_owned()));
        }
    });
    places
}

fn optional_body(operation: &OperationAt<'_>) -> Vec<Place> {
    match operation.node.get("requestBody") {
        Some(body) if body.get("required") != Some(&json!(true)) => vec![(
            pointer::member(&operation.pointer(), "requestBody"),
            "is a body that may be left out".to_owned(),
        )],
        _ => Vec::new(),
    }
}

fn credential_parameters(document: &Value) -> Vec<Place> {
    let headers: Vec<String> = document
        .pointer("/components/securitySchemes")
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(|schemes| schemes.values())
        .filter_map(|scheme| scheme.get("name")?.as_str())
        .map(str::to_ascii_lowercase)
        .collect();
    let mut places = Vec::new();
    for_each(document, Kind::Parameter, |at, parameter| {
        let name = text(parameter, "name");
        if text(parameter, "in") == "header" && headers.contains(&name.to_ascii_lowercase()) {
            places.push((
                at.to_owned(),
                format!("parameter `{name}` is a credential header"),
            ));
        }
    });
    places
}

fn secret_parameter(parameter: &Map<String, Value>) -> Option<String> {
    let place = text(parameter, "in");
    let schema = parameter.get("schema").and_then(Value::as_object);
    (["header", "path"].contains(&place) && schema.is_some_and(is_secret))
        .then(|| format!("is a secret in a {place}"))
}

fn parameter_style(parameter: &Map<String, Value>) -> Option<String> {
    let usual = match text(parameter, "in") {
        "query" | "cookie" => "form",
        _ => "simple",
    };
    let style = parameter
        .get("style")
        .and_then(Value::as_str)
        .unwrap_or(usual);
    if style != usual {
        Some(format!("has the style `{style}`"))
    } else if parameter.get("allowReserved") == Some(&json!(true)) {
        Some("is sent without escapes".to_owned())
    } else {
        None
    }
}

fn parameter_type(parameter: &Map<String, Value>) -> Option<String> {
    let name = text(parameter, "name");
    if !rust_snake_case(name).starts_with(|first: char| first.is_ascii_lowercase()) {
        return Some("is no name of a Rust argument".to_owned());
    }
    let schema = match parameter.get("schema") {
        Some(Value::Object(schema)) => schema,
        _ => return Some("has no schema".to_owned()),
    };
    match text(schema, "type") {
        "string" | "integer" | "number" | "boolean" => None,
        "" => Some("has no plain type".to_owned()),
        other => Some(format!("is of type `{other}`")),
    }
}

fn credentials(document: &Value) -> Vec<Place> {
    shape::operations(document)
        .iter()
        .filter_map(|operation| operations::credentials(document, operation).err())
        .map(|finding| (finding.pointer, finding.message))
        .collect()
}

fn allof_that_disagree(document: &Value) -> Vec<Place> {
    let mut places = Vec::new();
    for_each(document, Kind::Schema, |at, schema| {
        let mut types: Vec<String> = list(schema, "allOf")
            .iter()
            .filter_map(|branch| {
                let branch = target(branch)
                    .and_then(|name| document.pointer(&component_at(name)))
                    .unwrap_or(branch);
                Some(format!("`{}`", branch.get("type")?.as_str()?))
            })
            .collect();
        types.sort();
        types.dedup();
        if types.len() > 1 {
            places.push((
                at.to_owned(),
                format!("allOf branches say {}", types.join(" and ")),
            ));
        }
    });
    places
}

fn unknown_type(_: &str, schema: &Map<String, Value>) -> Option<String> {
    const TYPES: [&str; 6] = ["string", "integer", "number", "boolean", "array", "object"];
    match schema.get("type") {
        None => None,
        Some(Value::String(name)) if TYPES.contains(&name.as_str()) => None,
        Some(other) => Some(format!("has the type {other}")),
    }
}

fn secret_constrained(_: &str, schema: &Map<String, Value>) -> Option<String> {
    if schema.get("format") != Some(&json!("password")) {
        return None;
    }
    if !is_secret(schema) {
        return Some("is marked as a secret and is not a string".to_owned());
    }
    Kind::Schema
        .order(schema)
        .into_iter()
        .find(|key| !passes::BARE.contains(&key.as_str()))
        .map(|key| format!("has `{key}` beside `format: password`"))
}

fn secrets_unmarked(document: &Value) -> Vec<Place> {
    let mut places = Vec::new();
    let mut suspect = |at: &str, name: &str, schema: &Value| {
        let strings = [Some(schema), schema.get("items")];
        let unmarked = strings
            .into_iter()
            .flatten()
            .filter_map(Value::as_object)
            .any(|schema| text(schema, "type") == "string" && !is_secret(schema));
        if is_secret_name(name) && unmarked {
            places.push((
                at.to_owned(),
                format!("`{name}` is called like a secret and not marked as one"),
            ));
        }
    };
    shape::visit(
        Kind::Document,
        "",
        document,
        &mut |kind, at, node| match kind {
            Kind::Schema => {
                if let Some(name) = passes::property_name(at) {
                    suspect(at, &name, node);
                }
            }
            Kind::Parameter => {
                if let (Some(name), Some(schema)) =
                    (node.get("name").and_then(Value::as_str), node.get("schema"))
                {
                    suspect(&pointer::member(at, "schema"), name, schema);
                }
            }
            _ => {}
        },
    );
    places
}

fn extensions(document: &Value) -> Vec<Place> {
    let mut places = Vec::new();
    shape::visit(Kind::Document, "", document, &mut |kind, at, node| {
        if kind.members().is_some()
            && let Some(object) = node.as_object()
        {
            for key in kind.order(object) {
                let is_of_operation = kind == Kind::Operation;
                if is_of_operation && operation_keys::KEYS.contains(&key.as_str()) {
                    continue;
                }
                if key.starts_with("x-") {
                    places.push((pointer::member(at, key), "is an extension".to_owned()));
                } else if is_of_operation && !kind.has(key) {
                    let what = "is no member of an operation".to_owned();
                    places.push((pointer::member(at, key), what));
                }
            }
        }
    });
    places
}

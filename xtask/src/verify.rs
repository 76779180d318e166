//! Reads the generated code back: every secret of the document must have become the secret type, and no foreign crate
//! may have come in. What the settings promise is believed only after this.

use serde_json::Value;

use crate::error::Finding;
use crate::generate::SECRET_TYPE;
use crate::passes::{is_secret, rust_snake_case};
use crate::pointer;
use crate::shape::{self, Kind};

/// Every secret of `document` that is not of the secret type in `code`.
#[must_use]
pub fn secrets(document: &Value, code: &syn::File) -> Vec<Finding> {
    let mut findings = Vec::new();
    shape::visit(Kind::Document, "", document, &mut |kind, at, node| {
        if kind == Kind::Schema && node.as_object().is_some_and(is_secret) {
            let segments: Vec<String> = pointer::segments(at).collect();
            let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
            let found = match segments.as_slice() {
                ["components", "schemas", name, rest @ ..] => type_is_secret(code, name, rest),
                ["paths", path, method, "parameters", index, ..] => {
                    argument_is_secret(document, code, path, method, index)
                }
                _ => None,
            };
            if found != Some(true) {
                findings.push(Finding::new(
                    at,
                    "this secret did not become the secret type in the generated code",
                    "leave nothing but `type: string` and `format: password` here, in a field, a choice or a parameter",
                ));
            }
        }
    });
    findings
}

/// Whether the part `rest` of the generated type `name` holds the secret type.
fn type_is_secret(code: &syn::File, name: &str, rest: &[&str]) -> Option<bool> {
    let types = code.items.iter().find_map(|item| match item {
        syn::Item::Mod(module) if module.ident == "types" => Some(&module.content.as_ref()?.1),
        _ => None,
    })?;
    types.iter().find_map(|item| match (item, rest) {
        (syn::Item::Struct(item), ["properties", property, ..]) if item.ident == name => {
            let field = item
                .fields
                .iter()
                .find(|field| is_called(field, property))?;
            Some(holds_secret(&field.ty))
        }
        (syn::Item::Struct(item), [] | ["items" | "additionalProperties", ..])
            if item.ident == name =>
        {
            Some(item.fields.iter().any(|field| holds_secret(&field.ty)))
        }
        (syn::Item::Enum(item), ["oneOf", index, ..]) if item.ident == name => {
            let variant = item.variants.iter().nth(index.parse().ok()?)?;
            Some(variant.fields.iter().any(|field| holds_secret(&field.ty)))
        }
        _ => None,
    })
}

/// Whether the argument that a parameter became is of the secret type.
fn argument_is_secret(
    document: &Value,
    code: &syn::File,
    path: &str,
    method: &str,
    index: &str,
) -> Option<bool> {
    let operation = document.get("paths")?.get(path)?.get(method)?;
    let function = rust_snake_case(operation.get("operationId")?.as_str()?);
    let index: usize = index.parse().ok()?;
    let parameter = operation.get("parameters")?.get(index)?;
    let argument = rust_snake_case(parameter.get("name")?.as_str()?);
    let signature = code.items.iter().find_map(|item| match item {
        syn::Item::Impl(implementation) => {
            implementation.items.iter().find_map(|item| match item {
                syn::ImplItem::Fn(candidate) if candidate.sig.ident == function => {
                    Some(&candidate.sig)
                }
                _ => None,
            })
        }
        _ => None,
    })?;
    signature.inputs.iter().find_map(|input| match input {
        syn::FnArg::Typed(typed) => match typed.pat.as_ref() {
            syn::Pat::Ident(pattern) if pattern.ident == argument => Some(holds_secret(&typed.ty)),
            _ => None,
        },
        syn::FnArg::Receiver(_) => None,
    })
}

/// Whether the field is `name` on the wire.
fn is_called(field: &syn::Field, name: &str) -> bool {
    let mut renamed = None;
    for attribute in &field.attrs {
        if attribute.path().is_ident("serde") {
            // What is not a `rename` is read over; a shape that syn does not know leaves the field's own name.
            let _ = attribute.parse_nested_meta(|meta| {
                if meta.input.peek(syn::Token![=]) {
                    let value: syn::Lit = meta.value()?.parse()?;
                    if let (true, syn::Lit::Str(value)) = (meta.path.is_ident("rename"), value) {
                        renamed = Some(value.value());
                    }
                }
                Ok(())
            });
        }
    }
    match renamed {
        Some(renamed) => renamed == name,
        None => field
            .ident
            .as_ref()
            .is_some_and(|ident| ident.to_string().trim_start_matches("r#") == name),
    }
}

/// Whether a type is the secret type, or holds it in its arguments.
fn holds_secret(of: &syn::Type) -> bool {
    match of {
        syn::Type::Path(path) => {
            is_secret_type(&path.path)
                || path
                    .path
                    .segments
                    .iter()
                    .any(|segment| match &segment.arguments {
                        syn::PathArguments::AngleBracketed(arguments) => {
                            arguments.args.iter().any(|argument| match argument {
                                syn::GenericArgument::Type(inner) => holds_secret(inner),
                                _ => false,
                            })
                        }
                        _ => false,
                    })
        }
        syn::Type::Reference(reference) => holds_secret(&reference.elem),
        syn::Type::Tuple(tuple) => tuple.elems.iter().any(holds_secret),
        _ => false,
    }
}

/// Whether a path names the secret type itself.
pub(crate) fn is_secret_type(path: &syn::Path) -> bool {
    let names: Vec<String> = path
        .segments
        .iter()
        .map(|segment| segment.ident.to_string())
        .collect();
    names.join("::") == SECRET_TYPE.trim_start_matches("::")
}

/// Crates that generated code may bring in, and that the users of the client shall not have to compile.
const FOREIGN: [&str; 5] = ["chrono", "futures", "rand", "regress", "uuid"];

/// Checks that the generated client names no foreign crate.
///
/// # Errors
/// Names the crate.
pub fn no_foreign_crates(code: &str) -> Result<(), Finding> {
    for name in FOREIGN {
        let path = format!("{name}::");
        let named = code.match_indices(&path).any(|(index, _)| {
            let before = code
                .get(..index)
                .and_then(|before| before.chars().next_back());
            !before.is_some_and(|before| before.is_alphanumeric() || before == '_')
        });
        if named {
            return Err(Finding::new(
                "",
                format!("the generated client names the crate `{name}`"),
                "find the format or pattern that brings it in, and drop it in a pass",
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn document() -> Value {
        json!({
            "paths": {"/a": {"get": {"operationId": "get-a", "parameters": [
                {"name": "jwtToken", "in": "query", "schema": {"type": "string", "format": "password"}}
            ]}}},
            "components": {"schemas": {
                "A": {"type": "object", "properties": {
                    "accessToken": {"type": "string", "format": "password"},
                    "all": {"type": "array", "items": {"type": "string", "format": "password"}}
                }},
                "B": {"oneOf": [{"type": "integer"}, {"type": "string", "format": "password"}]},
                "C": {"type": "object", "additionalProperties": {"type": "string", "format": "password"}}
            }}
        })
    }

    const GOOD: &str = "
        pub mod types {
            pub struct A {
                #[serde(rename = \"accessToken\", skip_serializing_if = \"::std::option::Option::is_none\")]
                pub access_token: Option<::bigcommerce_b2b_auth_api::SecretString>,
                pub all: Vec<::bigcommerce_b2b_auth_api::SecretString>,
            }
            pub enum B { Number(i64), Secret(::bigcommerce_b2b_auth_api::SecretString) }
            pub struct C(pub BTreeMap<String, ::bigcommerce_b2b_auth_api::SecretString>);
        }
        impl Client {
            pub async fn get_a<'a>(&'a self, jwt_token: &'a ::bigcommerce_b2b_auth_api::SecretString) {}
        }";

    #[test]
    fn secrets_that_became_the_secret_type_pass() {
        assert_eq!(secrets(&document(), &syn::parse_file(GOOD).unwrap()), []);
    }

    #[test]
    fn each_secret_that_did_not_is_named() {
        let plain = GOOD.replace("::bigcommerce_b2b_auth_api::SecretString", "String");
        let places: Vec<String> = secrets(&document(), &syn::parse_file(&plain).unwrap())
            .into_iter()
            .map(|finding| finding.pointer)
            .collect();
        assert_eq!(
            places,
            [
                "/paths/~1a/get/parameters/0/schema",
                "/components/schemas/A/properties/accessToken",
                "/components/schemas/A/properties/all/items",
                "/components/schemas/B/oneOf/1",
                "/components/schemas/C/additionalProperties",
            ]
        );
    }

    #[test]
    fn a_secret_that_vanished_is_named_too() {
        let found = secrets(&document(), &syn::parse_file("pub mod types {}").unwrap());
        assert_eq!(found.len(), 5);
    }

    #[test]
    fn foreign_crates_are_found_by_their_path_only() {
        assert!(no_foreign_crates("let operand::x = my_uuid::y; // uuid").is_ok());
        assert!(no_foreign_crates("pub at: ::chrono::DateTime<::chrono::Utc>,").is_err());
    }
}

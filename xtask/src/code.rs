//! Passes over the generated client, where no setting of the generator does it: each with a name, a reason, and a count of
//! the places that it must find. Code that has another shape than it knows is refused, and not passed on half done.

use syn::punctuated::Punctuated;
use syn::{Expr, ExprMethodCall, ImplItem, ImplItemFn, Item, Pat, Stmt, parse_quote};

/// The generated name of the header map, which no argument of a method may have.
const HEADERS: &str = "header_map";

/// One rule, stated once.
struct Pass {
    name: &'static str,
    /// Why it is done.
    reason: &'static str,
    /// Does it, and says in how many places.
    apply: fn(&mut syn::File) -> usize,
    /// How many places there are in a client of so many operations; `None` where it depends on the document's types.
    places: fn(operations: usize) -> Option<usize>,
}

/// What is done, in this order.
const PASSES: &[Pass] = &[
    Pass {
        name: "drop-api-version",
        reason: "the generator sends the document's version as a header, which the service does not know",
        apply: drop_api_version,
        places: Some,
    },
    Pass {
        name: "secret-or-list",
        reason: "serde's derived code for such a choice copies secrets into a buffer that nobody wipes, and tries each form in turn",
        apply: secret_or_list,
        places: |_| None,
    },
];

/// Runs all passes.
///
/// # Errors
/// What a pass did not find.
pub(crate) fn run(file: &mut syn::File) -> Result<(), String> {
    let operations = methods(file).filter(|m| m.sig.asyncness.is_some()).count();
    for pass in PASSES {
        let found = (pass.apply)(file);
        if let Some(expected) = (pass.places)(operations)
            && found != expected
        {
            return Err(format!(
                "code in which the pass {:?} ({}) finds {found} places where {expected} are expected",
                pass.name, pass.reason
            ));
        }
    }
    Ok(())
}

/// The client's own methods and its constructor.
fn methods(file: &mut syn::File) -> impl Iterator<Item = &mut ImplItemFn> {
    file.items
        .iter_mut()
        .filter_map(|item| match item {
            Item::Impl(item) if item.trait_.is_none() => Some(&mut item.items),
            _ => None,
        })
        .flatten()
        .filter_map(|item| match item {
            ImplItem::Fn(method) => Some(method),
            _ => None,
        })
}

fn drop_api_version(file: &mut syn::File) -> usize {
    let mut dropped = 0;
    for method in methods(file) {
        let statements = &mut method.block.stmts;
        let before = statements.len();
        statements.retain(|statement| !matches!(statement, Stmt::Expr(Expr::MethodCall(call), _) if adds_api_version(call)));
        if statements.len() == before {
            continue;
        }
        dropped += 1;
        let uses_headers = statements.iter().any(
            |statement| matches!(statement, Stmt::Expr(Expr::MethodCall(call), _) if is_variable(&call.receiver, HEADERS)),
        ) || statements.iter().any(|statement| matches!(statement, Stmt::Expr(Expr::If(_), _)));
        if !uses_headers {
            statements.retain(|statement| !declares(statement, HEADERS));
            for expression in statements.iter_mut().filter_map(value_mut) {
                drop_call(expression, "headers");
            }
        }
    }
    dropped
}

/// `header_map.append(HeaderName::from_static("api-version"), …)`.
fn adds_api_version(call: &ExprMethodCall) -> bool {
    let named = |argument: &Expr| matches!(argument, Expr::Call(call) if call.args.iter().any(|text| is_text(text, "api-version")));
    is_variable(&call.receiver, HEADERS) && call.args.first().is_some_and(named)
}

fn secret_or_list(file: &mut syn::File) -> usize {
    let types = file.items.iter_mut().find_map(|item| match item {
        Item::Mod(module) if module.ident == "types" => Some(&mut module.content.as_mut()?.1),
        _ => None,
    });
    let Some(types) = types else {
        return 0;
    };
    let mut readers: Vec<Item> = Vec::new();
    for item in types.iter_mut() {
        if let Item::Enum(item) = item
            && let Some((one, many)) = one_and_many(item)
        {
            let name = &item.ident;
            readers.push(parse_quote! {
                impl<'de> ::serde::Deserialize<'de> for #name {
                    fn deserialize<D: ::serde::Deserializer<'de>>(from: D) -> ::std::result::Result<Self, D::Error> {
                        crate::one_or_many::read(from, Self::#one, Self::#many)
                    }
                }
            });
            for attribute in &mut item.attrs {
                drop_derive(attribute, "Deserialize");
            }
        }
    }
    let changed = readers.len();
    types.extend(readers);
    changed
}

/// The variants of a choice between a secret and a list of secrets.
fn one_and_many(item: &syn::ItemEnum) -> Option<(syn::Ident, syn::Ident)> {
    let mut names = [None, None];
    for variant in &item.variants {
        let mut fields = variant.fields.iter();
        let (Some(field), None) = (fields.next(), fields.next()) else {
            return None;
        };
        let [one, many] = &mut names;
        let name = if is_type(&field.ty, "SecretString").is_some() {
            one
        } else if is_type(is_type(&field.ty, "Vec")??, "SecretString").is_some() {
            many
        } else {
            return None;
        };
        if name.replace(variant.ident.clone()).is_some() {
            return None;
        }
    }
    let [one, many] = names;
    Some((one?, many?))
}

/// If the last part of the type's path is `name`, the first of its arguments.
fn is_type<'t>(of: &'t syn::Type, name: &str) -> Option<Option<&'t syn::Type>> {
    let syn::Type::Path(path) = of else {
        return None;
    };
    let last = path
        .path
        .segments
        .last()
        .filter(|last| last.ident == name)?;
    Some(match &last.arguments {
        syn::PathArguments::AngleBracketed(arguments) => {
            arguments.args.iter().find_map(|argument| match argument {
                syn::GenericArgument::Type(argument) => Some(argument),
                _ => None,
            })
        }
        _ => None,
    })
}

fn drop_derive(attribute: &mut syn::Attribute, name: &str) {
    if !attribute.path().is_ident("derive") {
        return;
    }
    let derived =
        attribute.parse_args_with(Punctuated::<syn::Path, syn::Token![,]>::parse_terminated);
    if let Ok(derived) = derived {
        let kept = derived
            .iter()
            .filter(|path| path.segments.last().is_none_or(|last| last.ident != name));
        *attribute = parse_quote!(#[derive(#(#kept),*)]);
    }
}

fn declares(statement: &Stmt, variable: &str) -> bool {
    matches!(statement, Stmt::Local(local) if matches!(&local.pat, Pat::Ident(name) if name.ident == variable))
}

/// What a `let` is given.
fn value_mut(statement: &mut Stmt) -> Option<&mut Expr> {
    match statement {
        Stmt::Local(local) => local.init.as_mut().map(|init| &mut *init.expr),
        _ => None,
    }
}

/// Takes the call of `method` out of a chain of calls.
fn drop_call(expression: &mut Expr, method: &str) {
    match expression {
        Expr::MethodCall(call) if call.method == method => *expression = (*call.receiver).clone(),
        Expr::MethodCall(call) => drop_call(&mut call.receiver, method),
        Expr::Try(tried) => drop_call(&mut tried.expr, method),
        _ => {}
    }
}

fn is_variable(expression: &Expr, name: &str) -> bool {
    matches!(expression, Expr::Path(path) if path.path.is_ident(name))
}

fn is_text(expression: &Expr, text: &str) -> bool {
    matches!(expression, Expr::Lit(literal) if matches!(&literal.lit, syn::Lit::Str(found) if found.value() == text))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the generator writes it, as far as the passes look.
    const CLIENT: &str = r#"
        pub mod types {
            #[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug)]
            #[serde(untagged)]
            pub enum Token { One(::api::SecretString), Many(::std::vec::Vec<::api::SecretString>) }
            #[derive(::serde::Deserialize, ::serde::Serialize, Clone, Debug)]
            #[serde(untagged)]
            pub enum Other { One(i64), Many(::std::vec::Vec<::api::SecretString>) }
        }
        pub struct Client { pub(crate) baseurl: String, pub(crate) client: reqwest::Client }
        impl Client {
            pub fn new_with_client(baseurl: &str, client: reqwest::Client) -> Self {
                Self { baseurl: baseurl.to_string(), client }
            }
        }
        impl Client {
            pub async fn plain(&self) -> R {
                let url = format!("{}/auth/backend", self.baseurl,);
                let mut header_map = HeaderMap::with_capacity(1usize);
                header_map.append(HeaderName::from_static("api-version"), HeaderValue::from_static(Self::api_version()));
                let mut request = self.client.post(url).json(&body).headers(header_map).build()?;
            }
            pub async fn parameters(&self, id: i64, trace: Option<&str>) -> R {
                let _url = format!("{}/tokens/{}", self.baseurl, encode_path(&id.to_string()),);
                let mut header_map = HeaderMap::with_capacity(2usize);
                header_map.append(HeaderName::from_static("api-version"), HeaderValue::from_static(Self::api_version()));
                if let Some(value) = trace { header_map.append("trace", value.to_string().try_into()?); }
                let mut request = self.client.get(_url).headers(header_map).build()?;
            }
        }
    "#;

    #[test]
    fn requests_have_no_header_that_nobody_knows_and_a_choice_of_secrets_is_read_by_hand() {
        let mut file = syn::parse_file(CLIENT).unwrap();
        run(&mut file).unwrap();
        insta::assert_snapshot!(prettyplease::unparse(&file));
    }

    #[test]
    fn code_of_another_shape_is_refused() {
        for (known, other) in [
            ("\"api-version\"", "\"x-version\""),
            ("header_map.append(", "headers.append("),
        ] {
            let mut file = syn::parse_file(&CLIENT.replacen(known, other, 1)).unwrap();
            let error = run(&mut file).unwrap_err();
            assert!(error.contains("places where"), "{known}: {error}");
        }
    }
}

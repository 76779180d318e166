//! The call values that stand beside the generated client: one struct for each operation, with an implementation of `Call`.
//! They are built from the signatures of the client's methods, so that a value and its method always fit.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use syn::{
    Attribute, Expr, FnArg, GenericArgument, Ident, Item, Pat, PathArguments, Type, parse_quote,
};

use crate::error::Finding;
use crate::operations;
use crate::passes::{pascal_case, rust_snake_case};
use crate::shape::OperationAt;
use crate::verify::is_secret_type;

/// The method of the client that sends each operation, by its name. Both are in the order of the document.
///
/// # Errors
/// If the methods are not those of the operations.
pub(crate) fn methods<'a>(
    file: &syn::File,
    operations: Vec<OperationAt<'a>>,
) -> Result<Vec<(OperationAt<'a>, syn::Signature)>, String> {
    let methods: Vec<&syn::ImplItemFn> = file
        .items
        .iter()
        .filter_map(|item| match item {
            Item::Impl(item) if item.trait_.is_none() => Some(&item.items),
            _ => None,
        })
        .flatten()
        .filter_map(|item| match item {
            syn::ImplItem::Fn(method) if method.sig.asyncness.is_some() => Some(method),
            _ => None,
        })
        .collect();
    if methods.len() != operations.len() {
        return Err(format!(
            "{} methods for {} operations",
            methods.len(),
            operations.len()
        ));
    }
    operations
        .into_iter()
        .zip(methods)
        .map(|(operation, method)| {
            let verb = operation.method.to_uppercase();
            let line = format!("Sends a `{verb}` request to `{}`", operation.path);
            if docs(&method.attrs)
                .lines()
                .any(|found| found.trim() == line)
            {
                Ok((operation, method.sig.clone()))
            } else {
                Err(format!(
                    "the method `{}` in the place of `{verb} {}`",
                    method.sig.ident, operation.path
                ))
            }
        })
        .collect()
}

fn docs(attributes: &[Attribute]) -> String {
    let texts = attributes
        .iter()
        .filter_map(|attribute| match &attribute.meta {
            syn::Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
                Expr::Lit(syn::ExprLit {
                    lit: syn::Lit::Str(text),
                    ..
                }) => Some(text.value()),
                _ => None,
            },
            _ => None,
        });
    texts.collect::<Vec<_>>().join("\n")
}

/// `pub mod calls`, for the operations and the signatures of their methods.
///
/// # Errors
/// Names the operation for which there can be no value, and why.
pub(crate) fn module(
    file: &syn::File,
    operations: &[(OperationAt<'_>, syn::Signature)],
) -> Result<Item, Finding> {
    let types = Types::of(file);
    let mut reached = BTreeSet::new();
    let mut items: Vec<Item> = Vec::new();
    for (operation, signature) in operations {
        let call = Call::of(operation, signature, &types).map_err(|why| {
            Finding::new(
                operation.pointer(),
                format!("[call] no value can stand for a call of this operation: {why}"),
                "correct the parameter or the body in the overlay, or remove the operation there",
            )
        })?;
        for field in &call.fields {
            types.reach(&field.owned, &mut reached);
        }
        items.extend(call.items());
    }
    for (name, item) in &types.by_name {
        if reached.contains(name) && types.holding.contains(name) {
            let visited = types.implementation(item).map_err(|why| {
                Finding::new(
                    format!("/components/schemas/{name}"),
                    format!("[call] no value can show the secrets of this type: {why}"),
                    "state the secret as a field, in a list or as the value of a mapping in the overlay",
                )
            })?;
            items.push(visited);
        }
    }
    Ok(parse_quote! {
        /// One value for each operation: what a call sends, and how one attempt is sent.
        pub mod calls {
            #(#items)*
        }
    })
}

/// One call value.
struct Call {
    name: Ident,
    title: String,
    fields: Vec<Field>,
    method: Ident,
    operation: Ident,
    response: Type,
}

/// An argument of the method in its owned form.
struct Field {
    name: Ident,
    docs: Vec<String>,
    owned: Type,
    /// The expression that makes the argument from the field.
    lent: Expr,
    holds_secret: bool,
}

impl Call {
    fn of(
        operation: &OperationAt<'_>,
        signature: &syn::Signature,
        types: &Types<'_>,
    ) -> Result<Self, String> {
        let generic = signature
            .generics
            .params
            .iter()
            .any(|parameter| !matches!(parameter, syn::GenericParam::Lifetime(_)));
        if generic {
            return Err("its body is a stream of bytes, which can be sent only once".to_owned());
        }
        let mut fields = Vec::new();
        for input in &signature.inputs {
            let FnArg::Typed(argument) = input else {
                continue;
            };
            let Pat::Ident(pattern) = &*argument.pat else {
                return Err("an argument of its method has no name".to_owned());
            };
            let name = pattern.ident.clone();
            let (owned, lent) = owned(&argument.ty, &parse_quote!(self.#name))
                .map_err(|why| format!("its argument `{name}` {why}"))?;
            let holds_secret = types.holds_secret(&owned);
            if holds_secret {
                types
                    .visitable(&owned)
                    .map_err(|why| format!("its argument `{name}` {why}"))?;
            }
            fields.push(Field {
                docs: description(operation, &name),
                name,
                owned,
                lent,
                holds_secret,
            });
        }
        let rust_name = signature.ident.to_string();
        Ok(Self {
            name: identifier(&pascal_case(&rust_name))?,
            title: operations::title(operation),
            fields,
            method: signature.ident.clone(),
            operation: identifier(&operations::constant(&rust_name))?,
            response: response(&signature.output)?,
        })
    }

    fn items(&self) -> [Item; 2] {
        let Self {
            name,
            method,
            operation,
            response,
            ..
        } = self;
        let title = format!(" {}", self.title);
        let definition: Item = if self.fields.is_empty() {
            parse_quote! {
                #[doc = #title]
                #[derive(Clone, Debug)]
                pub struct #name;
            }
        } else {
            let fields = self.fields.iter().map(|field| {
                let Field { name, owned, .. } = field;
                let docs = field.docs.iter();
                let field: syn::Field = parse_quote!(#(#[doc = #docs])* pub #name: #owned);
                field
            });
            parse_quote! {
                #[doc = #title]
                #[derive(Clone, Debug)]
                pub struct #name { #(#fields),* }
            }
        };
        let arguments = self.fields.iter().map(|field| &field.lent);
        let secrets: Vec<&Ident> = self
            .fields
            .iter()
            .filter(|field| field.holds_secret)
            .map(|field| &field.name)
            .collect();
        let visit = visitor(!secrets.is_empty());
        let implementation = parse_quote! {
            impl crate::Call for #name {
                const OPERATION: &'static crate::Operation = &super::operations::#operation;
                type Response = #response;
                async fn send(
                    &self,
                    api: &super::Client,
                ) -> ::std::result::Result<super::ResponseValue<Self::Response>, super::Error<()>> {
                    api.#method(#(#arguments),*).await
                }
                fn visit_secrets(
                    &self,
                    #visit: &mut dyn ::std::ops::FnMut(&::bigcommerce_b2b_auth_api::SecretString),
                ) {
                    #(crate::secret::VisitSecrets::visit_secrets(&self.#secrets, visit);)*
                }
            }
        };
        [definition, implementation]
    }
}

/// The argument that takes the visitor.
fn visitor(is_used: bool) -> Pat {
    if is_used {
        parse_quote!(visit)
    } else {
        parse_quote!(_)
    }
}

/// What the document says of the parameter that became the argument `name`, line by line.
fn description(operation: &OperationAt<'_>, name: &Ident) -> Vec<String> {
    let name = name.to_string();
    let parameters = operation.node.get("parameters").and_then(Value::as_array);
    let parameter = parameters.into_iter().flatten().find(|parameter| {
        let stated = parameter.get("name").and_then(Value::as_str);
        stated.is_some_and(|stated| rust_snake_case(stated) == name.trim_end_matches('_'))
    });
    parameter
        .and_then(|parameter| parameter.get("description")?.as_str())
        .into_iter()
        .flat_map(str::lines)
        .map(|line| format!(" {line}"))
        .collect()
}

/// `name` as an identifier. A keyword gets a `_`, as the generator writes it.
fn identifier(name: &str) -> Result<Ident, String> {
    syn::parse_str(name)
        .or_else(|_| syn::parse_str(&format!("{name}_")))
        .map_err(|_| format!("`{name}` is not a Rust identifier"))
}

/// `T` of `Result<ResponseValue<T>, Error<()>>`.
fn response(output: &syn::ReturnType) -> Result<Type, String> {
    let syn::ReturnType::Type(_, result) = output else {
        return Err("its method returns nothing".to_owned());
    };
    let parts = generic(result, "Result").and_then(|parts| {
        let [value, error] = <[&Type; 2]>::try_from(parts).ok()?;
        let value = generic(value, "ResponseValue")?.into_iter().next()?;
        let error = generic(error, "Error")?.into_iter().next()?;
        matches!(error, Type::Tuple(parsed) if parsed.elems.is_empty()).then_some(value)
    });
    let value = parts.ok_or("its method parses errors as well")?;
    qualified(value).map_err(|why| format!("its response {why}"))
}

/// The type arguments of a type whose last segment is `name`.
fn generic<'t>(of: &'t Type, name: &str) -> Option<Vec<&'t Type>> {
    let Type::Path(of) = of else {
        return None;
    };
    let last = of.path.segments.last().filter(|last| last.ident == name)?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else {
        return Some(Vec::new());
    };
    arguments
        .args
        .iter()
        .map(|argument| match argument {
            GenericArgument::Type(argument) => Some(argument),
            _ => None,
        })
        .collect()
}

/// The owned form of an argument's type, and the argument made from `field`, which holds it.
fn owned(argument: &Type, field: &Expr) -> Result<(Type, Expr), String> {
    if let Some(referred) = referred(argument)? {
        return Ok((referred, parse_quote!(&#field)));
    }
    if let Some(inner) = generic(argument, "Option") {
        let [inner] = inner.as_slice() else {
            return Err("has a type that is not known".to_owned());
        };
        if let Some(owned) = referred(inner)? {
            let lent = if is_dereferenced(inner) {
                parse_quote!(#field.as_deref())
            } else {
                parse_quote!(#field.as_ref())
            };
            return Ok((parse_quote!(::std::option::Option<#owned>), lent));
        }
        let owned = qualified(argument)?;
        let lent = by_value(inner, field);
        return Ok((owned, lent));
    }
    Ok((qualified(argument)?, by_value(argument, field)))
}

/// What a shared reference refers to, in its owned form. `None` if the type is not a reference.
fn referred(of: &Type) -> Result<Option<Type>, String> {
    let Type::Reference(reference) = of else {
        return Ok(None);
    };
    if reference.mutability.is_some() {
        return Err("is changed by its method".to_owned());
    }
    Ok(Some(match &*reference.elem {
        Type::Path(path) if path.path.is_ident("str") => parse_quote!(::std::string::String),
        Type::Slice(slice) => {
            let element = qualified(&slice.elem)?;
            parse_quote!(::std::vec::Vec<#element>)
        }
        other => qualified(other)?,
    }))
}

/// Whether the reference is to the target of the owned type, as `&str` is to that of `String`.
fn is_dereferenced(reference: &Type) -> bool {
    match reference {
        Type::Reference(reference) => match &*reference.elem {
            Type::Path(path) => path.path.is_ident("str"),
            other => matches!(other, Type::Slice(_)),
        },
        _ => false,
    }
}

/// Types without a path that are copied.
const COPIED: [&str; 15] = [
    "bool", "char", "f32", "f64", "i8", "i16", "i32", "i64", "i128", "isize", "u8", "u16", "u32",
    "u64", "usize",
];
/// Types without a path that the prelude brings in, and their paths. A call may have such a name too.
const PRELUDE: [(&str, &str); 4] = [
    ("Box", "::std::boxed::Box"),
    ("Option", "::std::option::Option"),
    ("String", "::std::string::String"),
    ("Vec", "::std::vec::Vec"),
];
/// What generated code names by a path from its root.
const AT_ROOT: [&str; 2] = ["ByteStream", "types"];

fn by_value(of: &Type, field: &Expr) -> Expr {
    let is_copied =
        matches!(of, Type::Path(path) if COPIED.iter().any(|name| path.path.is_ident(name)));
    if is_copied {
        field.clone()
    } else {
        parse_quote!(#field.clone())
    }
}

/// A type of the generated client as it is named inside of `calls`. It must own what it holds.
fn qualified(of: &Type) -> Result<Type, String> {
    let refused = |what: &str| Err(format!("has a type that {what}"));
    match of {
        Type::Tuple(tuple) => {
            let mut tuple = tuple.clone();
            for element in &mut tuple.elems {
                *element = qualified(element)?;
            }
            Ok(Type::Tuple(tuple))
        }
        Type::Path(named) if named.qself.is_none() => {
            let mut path = named.path.clone();
            for segment in &mut path.segments {
                let PathArguments::AngleBracketed(arguments) = &mut segment.arguments else {
                    if segment.arguments.is_none() {
                        continue;
                    }
                    return refused("is a function");
                };
                for argument in &mut arguments.args {
                    match argument {
                        GenericArgument::Type(argument) => *argument = qualified(argument)?,
                        _ => return refused("borrows what it holds"),
                    }
                }
            }
            if path.leading_colon.is_some() {
                return Ok(parse_quote!(#path));
            }
            let first = path.segments.first().map(|first| first.ident.to_string());
            let first = first.unwrap_or_default();
            if AT_ROOT.contains(&first.as_str()) {
                return Ok(parse_quote!(super::#path));
            }
            if path.segments.len() > 1 {
                return Ok(parse_quote!(::#path));
            }
            if COPIED.contains(&first.as_str()) {
                return Ok(parse_quote!(#path));
            }
            match PRELUDE.iter().find(|(name, _)| *name == first) {
                Some((_, full)) => {
                    let mut full: syn::Path = syn::parse_str(full)
                        .map_err(|_| format!("has the type `{first}`, which is not known"))?;
                    if let (Some(to), Some(from)) = (full.segments.last_mut(), path.segments.last())
                    {
                        to.arguments = from.arguments.clone();
                    }
                    Ok(parse_quote!(#full))
                }
                None => refused(&format!("is not known: `{first}`")),
            }
        }
        Type::Reference(_) => refused("borrows what it holds"),
        _ => refused("is not known"),
    }
}

/// The generated types, and which of them hold a secret somewhere below them.
struct Types<'f> {
    by_name: BTreeMap<String, &'f Item>,
    holding: BTreeSet<String>,
}

impl<'f> Types<'f> {
    fn of(file: &'f syn::File) -> Self {
        let items = file.items.iter().find_map(|item| match item {
            Item::Mod(module) if module.ident == "types" => Some(&module.content.as_ref()?.1),
            _ => None,
        });
        let named = items.into_iter().flatten().filter_map(|item| match item {
            Item::Struct(found) => Some((found.ident.to_string(), item)),
            Item::Enum(found) => Some((found.ident.to_string(), item)),
            Item::Type(found) => Some((found.ident.to_string(), item)),
            _ => None,
        });
        let mut types = Self {
            by_name: named.collect(),
            holding: BTreeSet::new(),
        };
        // Each round finds the types that hold what the round before found; types may hold each other.
        loop {
            let found: Vec<String> = types
                .by_name
                .iter()
                .filter(|(name, item)| {
                    !types.holding.contains(*name)
                        && parts(item).into_iter().any(|part| types.holds_secret(part))
                })
                .map(|(name, _)| name.clone())
                .collect();
            if found.is_empty() {
                return types;
            }
            types.holding.extend(found);
        }
    }

    /// The name of one of these types, as it is written inside of `types` and outside of it.
    fn name(&self, path: &syn::Path) -> Option<String> {
        let last = path.segments.last()?.ident.to_string();
        let is_ours = match path.segments.len() {
            1 => path.leading_colon.is_none(),
            count => path.segments.iter().nth(count - 2)?.ident == "types",
        };
        (is_ours && self.by_name.contains_key(&last)).then_some(last)
    }

    /// Whether a value of this type can hold a secret, as far as is known by now.
    fn holds_secret(&self, of: &Type) -> bool {
        let mut holds = false;
        each_path(of, &mut |path| {
            let named = self.name(path);
            holds |= is_secret_type(path) || named.is_some_and(|name| self.holding.contains(&name));
        });
        holds
    }

    /// Adds the types that a value of this type can hold.
    fn reach(&self, of: &Type, reached: &mut BTreeSet<String>) {
        let mut open: Vec<&Type> = vec![of];
        while let Some(of) = open.pop() {
            each_path(of, &mut |path| {
                if let Some(name) = self.name(path)
                    && reached.insert(name.clone())
                    && let Some(item) = self.by_name.get(&name)
                {
                    open.extend(parts(item));
                }
            });
        }
    }

    /// Checks that the secrets in a value of this type can be visited: `VisitSecrets` goes through the types below.
    fn visitable(&self, of: &Type) -> Result<(), String> {
        const WRAPPERS: [&str; 4] = ["BTreeMap", "Box", "Option", "Vec"];
        if !self.holds_secret(of) {
            return Ok(());
        }
        if let Type::Path(path) = of
            && (is_secret_type(&path.path) || self.name(&path.path).is_some())
        {
            return Ok(());
        }
        let wrapped = WRAPPERS.iter().find_map(|name| generic(of, name));
        match wrapped.as_deref() {
            Some([inner]) => self.visitable(inner),
            Some([key, value]) if !self.holds_secret(key) => self.visitable(value),
            _ => Err("holds a secret in a type whose values cannot be visited".to_owned()),
        }
    }

    /// The implementation of `VisitSecrets` for a type that holds a secret.
    fn implementation(&self, item: &Item) -> Result<Item, String> {
        let (name, body): (&Ident, Vec<syn::Stmt>) = match item {
            Item::Struct(item) => {
                let mut statements = Vec::new();
                for (index, field) in item.fields.iter().enumerate() {
                    if self.holds_secret(&field.ty) {
                        self.visitable(&field.ty)?;
                        let member = match &field.ident {
                            Some(name) => syn::Member::Named(name.clone()),
                            None => syn::Member::from(index),
                        };
                        statements.push(parse_quote! {
                            crate::secret::VisitSecrets::visit_secrets(&self.#member, visit);
                        });
                    }
                }
                (&item.ident, statements)
            }
            Item::Enum(item) => {
                let mut arms: Vec<syn::Arm> = Vec::new();
                for variant in &item.variants {
                    arms.push(self.arm(variant)?);
                }
                (&item.ident, vec![parse_quote!(match self { #(#arms)* })])
            }
            // An alias is what it stands for.
            _ => return Err("is neither a struct nor an enum".to_owned()),
        };
        Ok(parse_quote! {
            impl crate::secret::VisitSecrets for super::types::#name {
                fn visit_secrets(
                    &self,
                    visit: &mut dyn ::std::ops::FnMut(&::bigcommerce_b2b_auth_api::SecretString),
                ) {
                    #(#body)*
                }
            }
        })
    }

    fn arm(&self, variant: &syn::Variant) -> Result<syn::Arm, String> {
        let name = &variant.ident;
        let mut visited: Vec<Ident> = Vec::new();
        let mut patterns: Vec<Pat> = Vec::new();
        let mut members: Vec<&Ident> = Vec::new();
        for (index, field) in variant.fields.iter().enumerate() {
            if !self.holds_secret(&field.ty) {
                patterns.push(parse_quote!(_));
                continue;
            }
            self.visitable(&field.ty)?;
            let value = identifier(&format!("value{index}"))?;
            patterns.push(parse_quote!(#value));
            members.extend(&field.ident);
            visited.push(value);
        }
        let pattern: Pat = match &variant.fields {
            syn::Fields::Unnamed(_) => parse_quote!(Self::#name(#(#patterns),*)),
            syn::Fields::Named(_) => parse_quote!(Self::#name { #(#members: #visited,)* .. }),
            syn::Fields::Unit => parse_quote!(Self::#name),
        };
        Ok(parse_quote! {
            #pattern => {
                #(crate::secret::VisitSecrets::visit_secrets(#visited, visit);)*
            }
        })
    }
}

/// The types of the fields of a type.
fn parts(item: &Item) -> Vec<&Type> {
    match item {
        Item::Struct(item) => item.fields.iter().map(|field| &field.ty).collect(),
        Item::Enum(item) => {
            let fields = item.variants.iter().flat_map(|variant| &variant.fields);
            fields.map(|field| &field.ty).collect()
        }
        Item::Type(item) => vec![&item.ty],
        _ => Vec::new(),
    }
}

/// Calls `found` for every path in a type.
fn each_path<'t>(of: &'t Type, found: &mut dyn FnMut(&'t syn::Path)) {
    match of {
        Type::Path(path) => {
            found(&path.path);
            for segment in &path.path.segments {
                if let PathArguments::AngleBracketed(arguments) = &segment.arguments {
                    for argument in &arguments.args {
                        if let GenericArgument::Type(argument) = argument {
                            each_path(argument, found);
                        }
                    }
                }
            }
        }
        Type::Reference(reference) => each_path(&reference.elem, found),
        Type::Slice(slice) => each_path(&slice.elem, found),
        Type::Array(array) => each_path(&array.elem, found),
        Type::Paren(inner) => each_path(&inner.elem, found),
        Type::Group(inner) => each_path(&inner.elem, found),
        Type::Tuple(tuple) => tuple
            .elems
            .iter()
            .for_each(|element| each_path(element, found)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape;
    use serde_json::json;

    /// As the generator writes it, as far as signatures and types go.
    const CLIENT: &str = r#"
        pub mod types {
            pub struct Order {
                pub nothing: ::std::option::Option<i64>,
                pub password: ::bigcommerce_b2b_auth_api::SecretString,
                pub parts: ::std::vec::Vec<Part>,
                pub by_name: ::std::collections::BTreeMap<::std::string::String, ::std::boxed::Box<Part>>,
            }
            pub enum Part {
                Number(i64),
                Nothing,
                Pair(i64, ::bigcommerce_b2b_auth_api::SecretString),
                Named { plain: i64, order: ::std::boxed::Box<Order> },
            }
            pub struct Wrapped(pub ::std::vec::Vec<::bigcommerce_b2b_auth_api::SecretString>);
            pub struct Plain { pub name: ::std::string::String }
            pub struct Answer { pub token: ::bigcommerce_b2b_auth_api::SecretString }
        }
        impl Client {
            pub fn new_with_client() -> Self {}
        }
        impl Client {
            /// Sends a `POST` request to `/orders/{id}`
            pub async fn post_order<'a>(
                &'a self,
                id: i64,
                page: Option<i64>,
                sort: Option<&'a str>,
                order_by: &'a str,
                names: Option<&'a ::std::vec::Vec<::std::string::String>>,
                wrapped: Option<&'a types::Wrapped>,
                type_: Option<&'a [types::Plain]>,
                pair: (i64, bool),
                body: &'a types::Order,
            ) -> Result<ResponseValue<types::Answer>, Error<()>> {}
            /// Sends a `GET` request to `/plain`
            pub async fn type_<'a>(&'a self, text: String, any: &'a ::serde_json::Value) -> Result<ResponseValue<()>, Error<()>> {}
            /// Sends a `GET` request to `/stream`
            pub async fn option<'a>(&'a self) -> Result<ResponseValue<ByteStream>, Error<()>> {}
        }
    "#;

    fn document() -> Value {
        json!({"paths": {
            "/orders/{id}": {"post": {"operationId": "post-order", "summary": "Order", "parameters": [
                {"name": "orderBy", "description": "In which order.\nAny will do."},
                {"name": "type", "description": "Of which type."},
            ]}},
            "/plain": {"get": {"operationId": "type"}},
            "/stream": {"get": {"operationId": "option"}},
        }})
    }

    fn generated(client: &str) -> Result<String, String> {
        let document = document();
        let mut file = syn::parse_file(client).unwrap();
        let methods = methods(&file, shape::operations(&document))?;
        let calls = module(&file, &methods)
            .map_err(|finding| format!("{}: {}", finding.pointer, finding.message))?;
        file.items = vec![calls];
        Ok(prettyplease::unparse(&file))
    }

    #[test]
    fn each_kind_of_argument_has_its_owned_form_and_each_secret_is_visited() {
        insta::assert_snapshot!(generated(CLIENT).unwrap());
    }

    #[test]
    fn what_no_value_can_hold_is_refused_with_operation_and_reason() {
        for (known, other, refusal) in [
            (
                "post_order<'a>",
                "post_order<'a, B: Into<reqwest::Body>>",
                "/paths/~1orders~1{id}/post: [call] no value can stand for a call of this operation: \
                 its body is a stream of bytes, which can be sent only once",
            ),
            (
                "id: i64",
                "id: &'a mut i64",
                "its argument `id` is changed by its method",
            ),
            (
                "id: i64",
                "id: Cow<'a, str>",
                "its argument `id` has a type that borrows what it holds",
            ),
            (
                "id: i64",
                "id: (&'a str, i64)",
                "its argument `id` has a type that borrows what it holds",
            ),
            (
                "id: i64",
                "id: Strange",
                "its argument `id` has a type that is not known: `Strange`",
            ),
            (
                "id: i64",
                "id: impl Into<i64>",
                "its argument `id` has a type that is not known",
            ),
            (
                "pair: (i64, bool)",
                "pair: (i64, ::bigcommerce_b2b_auth_api::SecretString)",
                "its argument `pair` holds a secret in a type whose values cannot be visited",
            ),
            (
                "Error<()>",
                "Error<types::Answer>",
                "its method parses errors as well",
            ),
        ] {
            let error = generated(&CLIENT.replacen(known, other, 1)).unwrap_err();
            assert!(error.contains(refusal), "{other}: {error}");
        }
    }

    #[test]
    fn a_secret_that_cannot_be_visited_is_refused_with_its_type() {
        for other in [
            "pub password: [::bigcommerce_b2b_auth_api::SecretString; 2]",
            "pub password: ::std::collections::BTreeMap<::bigcommerce_b2b_auth_api::SecretString, i64>",
            "pub password: ::std::option::Option<(Part, i64)>",
        ] {
            let known = "pub password: ::bigcommerce_b2b_auth_api::SecretString";
            let error = generated(&CLIENT.replacen(known, other, 1)).unwrap_err();
            let refusal = "/components/schemas/Order: [call] no value can show the secrets of this type: \
                           holds a secret in a type whose values cannot be visited";
            assert!(error.contains(refusal), "{other}: {error}");
        }
    }

    #[test]
    fn methods_of_other_operations_are_refused() {
        for (known, other, refusal) in [
            (
                "`/plain`",
                "`/other`",
                "the method `type_` in the place of `GET /plain`",
            ),
            (
                "pub async fn option",
                "pub fn option",
                "2 methods for 3 operations",
            ),
        ] {
            let error = generated(&CLIENT.replacen(known, other, 1)).unwrap_err();
            assert!(error.contains(refusal), "{error}");
        }
    }
}

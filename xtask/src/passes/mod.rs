//! The passes: small pure functions over a document, each with a name, a reason and a count of what it changed.
//! They stand in two lists, in the order in which they run: what the import does, and what generation does.

mod allof;
mod bodies;
mod credentials;
mod facts;
mod naming;
mod openness;
mod parameters;
mod repairs;
mod secrets;

use serde_json::Value;

use crate::error::Finding;

pub(crate) use bodies::{collect_references, is_success};
pub(crate) use facts::is_ignored_header;
pub(crate) use naming::{is_type_name, property_name};
pub use naming::{pascal_case, rust_snake_case};
pub(crate) use openness::{BOUNDS, is_number, is_whole_number_name};
pub(crate) use secrets::BARE;
pub use secrets::{is_secret, is_secret_name};

/// What a pass did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// How many nodes it changed.
    pub count: usize,
    /// What a reader of the report should know of single changes.
    pub notes: Vec<String>,
}

impl Changes {
    fn one(&mut self) {
        self.count += 1;
    }

    pub(crate) fn note(&mut self, text: String) {
        self.count += 1;
        self.notes.push(text);
    }
}

/// One rule, stated once.
#[derive(Clone, Copy, Debug)]
pub struct Pass {
    /// What the report calls it.
    pub name: &'static str,
    /// Why it is done.
    pub reason: &'static str,
    /// Does it.
    pub apply: fn(&mut Value) -> Result<Changes, Finding>,
}

/// A line of the report: a pass and what it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The name of the pass.
    pub name: &'static str,
    /// Its reason.
    pub reason: &'static str,
    /// What it did.
    pub changes: Changes,
}

/// What an import does with the selected operations, once every `$ref` is resolved. The wire they describe stays as it
/// is: facts keep, form changes.
pub const IMPORT: &[Pass] = &[
    Pass {
        name: "name-operations",
        reason: "an operation without a name cannot be generated; by its address it has one",
        apply: repairs::name_operations,
    },
    Pass {
        name: "effective-security",
        reason: "an operation without `security` takes the document's; each says its own, so that each can be corrected alone",
        apply: facts::effective_security,
    },
    Pass {
        name: "drop-prose",
        reason: "texts, examples and extensions are the vendor's own; the project carries structural facts only",
        apply: facts::drop_prose,
    },
    Pass {
        name: "ignored-headers",
        reason: "OpenAPI says to ignore header parameters called Accept, Content-Type or Authorization",
        apply: facts::drop_ignored_headers,
    },
    Pass {
        name: "required-flags",
        reason: "a field that says of itself that it is required means the list of its object",
        apply: repairs::required_flags,
    },
    Pass {
        name: "merge-allof",
        reason: "the generator makes an empty enum of branches that disagree and loses fields beside a closed branch",
        apply: allof::merge,
    },
    Pass {
        name: "type-objects",
        reason: "a schema with `properties` is meant as an object also where it does not say so",
        apply: facts::type_objects,
    },
    Pass {
        name: "unfit-defaults",
        reason: "a default that is no value of its type makes the generator panic, and states nothing",
        apply: repairs::unfit_defaults,
    },
    Pass {
        name: "idle-flags",
        reason: "a flag that states its own default says nothing, and would show as a difference",
        apply: facts::drop_idle_flags,
    },
    Pass {
        name: "sort-sets",
        reason: "`required`, `enum` and parameters are sets; one order for all revisions keeps their difference small",
        apply: facts::sort_sets,
    },
    Pass {
        name: "name-schemas",
        reason: "an inline schema gets its name from operation, direction and status, the same in every revision",
        apply: naming::name_schemas,
    },
];

/// What generation does before the overlay is applied, so that the overlay states what is known and not what was promised.
pub const PREPARE: &[Pass] = &[Pass {
    name: "loose-replies",
    reason: "any field of an envelope may be missing; the overlay states the few that a reply is worth nothing without",
    apply: bodies::loosen_replies,
}];

/// What generation does with the corrected document. Here facts are lost on purpose: validation is the SDK's, and a bound
/// that the service loosens must not make the client refuse.
pub const GENERATE: &[Pass] = &[
    Pass {
        name: "live-server",
        reason: "/api/v3/io, which some documents state, answers 404; the service is at /api/io, and all of it on one server",
        apply: crate::servers::keep_live,
    },
    Pass {
        name: "header-schemes",
        reason: "the transport sends headers; a credential in other words, or one that nobody declared, is one too",
        apply: credentials::header_schemes,
    },
    Pass {
        name: "header-credentials",
        reason: "a credential that is a parameter becomes an argument that every caller could forget",
        apply: credentials::header_parameters,
    },
    Pass {
        name: "token-management",
        reason: "revisions that say `security: []` everywhere demand the legacy header in their prose",
        apply: credentials::token_management,
    },
    Pass {
        name: "success-only",
        reason: "a generated client parses every reply of an operation by one type; failures are classified by the transport, status first",
        apply: bodies::drop_failures,
    },
    Pass {
        name: "one-success",
        reason: "a reply with a body beside one without is refused by the generator; the transport maps any acceptable 2xx to the one kept",
        apply: bodies::keep_one_success,
    },
    Pass {
        name: "json-only",
        reason: "two media types in one body make the generator panic; JSON is what the service speaks",
        apply: bodies::keep_json,
    },
    Pass {
        name: "named-bodies",
        reason: "content without a schema makes the generator panic, and one without a name needs crates that the mocks have not",
        apply: parameters::named_bodies,
    },
    Pass {
        name: "plain-parameters",
        reason: "a parameter that leaves its type open is a text in the address all the same",
        apply: parameters::plain_parameters,
    },
    Pass {
        name: "mark-secrets",
        reason: "a string that is called a password or a token is a secret also where nobody said so",
        apply: secrets::mark_by_name,
    },
    Pass {
        name: "bare-secrets",
        reason: "a constraint beside `format: password` makes the generator choose a plain string with a printing Debug",
        apply: secrets::strip_constraints,
    },
    Pass {
        name: "whole-numbers",
        reason: "an id, code, time or count given as `number` would become f64",
        apply: openness::whole_numbers,
    },
    Pass {
        name: "no-bounds",
        reason: "validation belongs to the SDK; a bound becomes a newtype that refuses a reply",
        apply: openness::drop_bounds,
    },
    Pass {
        name: "no-defaults",
        reason: "a property with a default is never optional and always sent",
        apply: openness::drop_defaults,
    },
    Pass {
        name: "one-of",
        reason: "a choice by anyOf would become one struct of all branches; a union takes the first branch that fits",
        apply: openness::any_of_to_one_of,
    },
    Pass {
        name: "open-enums",
        reason: "a value that is added later must not fail a whole reply",
        apply: openness::open_enums,
    },
    Pass {
        name: "open-objects",
        reason: "a field that is added later must not fail a whole reply",
        apply: openness::open_objects,
    },
    Pass {
        name: "required-fields",
        reason: "what is required and not described would be a field of which nothing is known",
        apply: parameters::required_fields,
    },
    Pass {
        name: "nullable-types",
        reason: "a type that may be null is wrapped in a second one; the field that has it takes null already",
        apply: parameters::nullable_types,
    },
    Pass {
        name: "plain-formats",
        reason: "formats other than `password` would bring in crates and refuse what the service accepts",
        apply: openness::drop_formats,
    },
    Pass {
        name: "sort-sets",
        reason: "an overlay appends to lists; a set has each of its members once, in one order",
        apply: facts::sort_sets,
    },
    Pass {
        name: "name-schemas",
        reason: "what the corrections brought in gets a name as well",
        apply: naming::name_schemas,
    },
    Pass {
        name: "reachable-only",
        reason: "a type that nothing uses is code that nobody reads",
        apply: bodies::drop_unreachable,
    },
];

/// Runs `passes` in their order.
///
/// # Errors
/// The finding of the first pass that refuses the document.
pub fn run(passes: &[Pass], document: &mut Value) -> Result<Vec<Applied>, Finding> {
    passes
        .iter()
        .map(|pass| {
            Ok(Applied {
                name: pass.name,
                reason: pass.reason,
                changes: (pass.apply)(document)?,
            })
        })
        .collect()
}

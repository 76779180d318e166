//! Whether this SDK copes with a change of the service as it is, before anything is generated anew.
//! One table: the first rule that applies gives the sentence, and each says which part of the project it rests on.

use std::collections::BTreeSet;

use super::schema::{ARRAY, NULL, NUMBER, OBJECT, STRING, Types};
use super::{Class, wire};
use crate::select::KNOWN_OPERATIONS;

/// How the SDK stands to a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It works on as it is.
    Copes,
    /// Somebody has to look at it.
    NeedsWork,
    /// It does not use what changed.
    NotConcerned,
}

/// How the SDK stands to a change, in a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coping {
    /// In a word.
    pub verdict: Verdict,
    /// In a sentence.
    pub sentence: &'static str,
}

/// What kind of change it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    OperationNew,
    OperationGone,
    IdChanged,
    MethodChanged,
    UrlChanged,
    UrlNew,
    Credentials,
    FieldNew { required: bool },
    FieldGone,
    Required,
    Optional,
    Type,
    NullNew,
    NullGone,
    Narrower,
    Wider,
    Exchanged,
    ValueNew,
    ValueGone,
    Default,
    Serialised,
    BodyNew,
    BodyGone,
    MediaNew,
    MediaGone,
    SuccessStatus,
    StatusNew,
    StatusGone,
    Text,
}

/// Which part of the wire it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    /// The document or an operation as a whole.
    Whole,
    /// The JSON of the request.
    Request,
    /// A parameter: where, and its name.
    Parameter(&'a str, &'a str),
    /// The JSON of the reply with this status.
    Reply(&'a str),
    /// A header of a reply.
    ReplyHeader,
}

/// A change as the rules look at it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject<'a> {
    pub(super) class: Class,
    pub(super) kind: Kind,
    pub(super) part: Part<'a>,
    pub(super) operation: &'a str,
    /// Whether the import takes the operation.
    pub(super) is_selected: bool,
    /// The field, such as `data.token` or `data[].id`.
    pub(super) path: &'a str,
    /// The types after the change.
    pub(super) types: Types,
    /// What is said of the change, in which a bound stands as `` `keyword` value ``.
    pub(super) said: &'a str,
    /// The sets of credentials that are accepted after the change.
    pub(super) credentials: Option<&'a BTreeSet<BTreeSet<String>>>,
}

use Verdict::{Copes, NeedsWork, NotConcerned};

/// One rule.
struct Rule {
    applies: fn(&Subject<'_>) -> bool,
    coping: Coping,
    /// What in the project it rests on.
    #[cfg_attr(
        not(test),
        expect(
            dead_code,
            reason = "read by people and by the test that wants one for each"
        )
    )]
    because: &'static str,
}

const fn rule(
    applies: fn(&Subject<'_>) -> bool,
    verdict: Verdict,
    sentence: &'static str,
    because: &'static str,
) -> Rule {
    Rule {
        applies,
        coping: Coping { verdict, sentence },
        because,
    }
}

const RULES: &[Rule] = &[
    rule(
        |it| it.class == Class::Neutral,
        NotConcerned,
        "The SDK is not concerned: the wire is the same.",
        "the import keeps facts and drops prose; a deprecation shows when the SDK is next generated",
    ),
    rule(
        |it| it.kind == Kind::OperationNew && it.is_selected,
        NeedsWork,
        "The SDK does not offer it yet: the next import takes it, and the generated method waits for its place in the SDK.",
        "selection by tag in select.rs; a test names operations without a place",
    ),
    rule(
        |it| !is_known(it) && !it.is_selected && it.operation != "-",
        NotConcerned,
        "The SDK is not concerned: it is not one of the Authentication operations.",
        "selection in select.rs",
    ),
    rule(
        |it| !is_known(it) && it.operation != "-" && it.kind != Kind::IdChanged,
        NotConcerned,
        "The SDK is not concerned: it has no method for this operation.",
        "the SDK offers six operations",
    ),
    rule(
        |it| it.kind == Kind::IdChanged,
        NeedsWork,
        "The SDK runs on, since the name is not on the wire; the next import needs the new name in its selection and overlay.",
        "KNOWN_OPERATIONS, the overlay and the SDK name generated methods and types after it",
    ),
    rule(
        |it| it.kind == Kind::UrlNew,
        Copes,
        "The SDK copes: it goes on using the old URL.",
        "the base URL and the paths are its own",
    ),
    rule(
        |it| it.kind == Kind::UrlChanged && it.operation == "-",
        NeedsWork,
        "The SDK does not cope by itself: until its next version the caller sets the base URL.",
        "the builder's base_url; the default is a constant",
    ),
    rule(
        |it| {
            matches!(
                it.kind,
                Kind::OperationGone | Kind::MethodChanged | Kind::UrlChanged
            )
        },
        NeedsWork,
        "The SDK does not cope: it calls the operation as it was.",
        "methods and paths are generated",
    ),
    rule(
        |it| it.kind == Kind::Credentials && it.class == Class::Additive,
        Copes,
        "The SDK copes: it sends the credentials that were accepted before.",
        "what was accepted still is",
    ),
    rule(
        |it| it.kind == Kind::Credentials && sends_enough(it),
        Copes,
        "The SDK copes: the overlay has it send these credentials already.",
        "the security of each operation is stated in the overlay",
    ),
    rule(
        |it| {
            it.kind == Kind::Credentials
                && it.operation == "post-auth-customer"
                && sends(it, LOGIN_PAIR)
        },
        Copes,
        "The SDK copes where the client holds an access token, which it sends along with the login; with a store hash alone it does not.",
        "the overlay gives the login two alternatives, the pair and nothing",
    ),
    rule(
        |it| it.kind == Kind::Credentials,
        NeedsWork,
        "The SDK does not cope: the overlay has it send other credentials.",
        "the security of each operation is stated in the overlay",
    ),
    // -- replies to failures, and statuses
    rule(
        |it| matches!(it.kind, Kind::StatusNew | Kind::StatusGone),
        Copes,
        "The SDK copes: it goes by the status it gets, documented or not.",
        "the transport classifies by status first, body second",
    ),
    rule(
        |it| matches!(it.part, Part::Reply(status) if !wire_success(status)),
        Copes,
        "The SDK copes: it reads error replies by their shape, not by the document.",
        "envelope.rs; the pass `success-only` drops error replies before generation",
    ),
    rule(
        |it| it.kind == Kind::SuccessStatus,
        Copes,
        "The SDK copes with any 2xx status, as long as the body stays what it was.",
        "the transport maps an acceptable 2xx to the one that the generated method expects",
    ),
    rule(
        |it| it.part == Part::ReplyHeader,
        Copes,
        "The SDK copes: it reads the headers it finds and does without those it misses.",
        "reply metadata is optional throughout",
    ),
    // -- replies to successes
    rule(
        |it| {
            matches!(it.part, Part::Reply(_)) && matches!(it.kind, Kind::MediaGone | Kind::BodyGone)
        },
        NeedsWork,
        "The SDK does not cope: it reads JSON.",
        "generated methods parse JSON",
    ),
    rule(
        |it| matches!(it.part, Part::Reply(_)) && matches!(it.kind, Kind::MediaNew | Kind::BodyNew),
        Copes,
        "The SDK copes: it goes on reading the JSON it knows.",
        "the pass `json-only`",
    ),
    rule(
        |it| matches!(it.part, Part::Reply(_)) && matches!(it.kind, Kind::FieldNew { .. }),
        Copes,
        "The SDK copes: it ignores fields of a reply that it does not know.",
        "the pass `open-objects`",
    ),
    rule(
        |it| matches!(it.part, Part::Reply(_)) && is_unread(it),
        Copes,
        "The SDK copes: it takes any value here, or none.",
        "the overlay frees `code` everywhere, `meta` where nothing of it is read, and the deletion's `data`; \
         whether a body is a success the transport decides, by a code that is a number or a text",
    ),
    rule(
        |it| {
            matches!(it.part, Part::Reply(_))
                && it.kind == Kind::Type
                && is_token(it)
                && it.types.is_only(STRING | ARRAY)
        },
        Copes,
        "The SDK copes: it takes the token as a string or as a list.",
        "TokenOneOrMany in the overlay",
    ),
    rule(
        |it| {
            matches!(it.part, Part::Reply(_))
                && it.kind == Kind::Type
                && it.operation == "post-auth-backend"
                && it.path == "data"
                && it.types.is_only(ARRAY | OBJECT)
        },
        Copes,
        "The SDK copes: it takes the created token in a list or alone.",
        "a choice of both in the overlay",
    ),
    rule(
        |it| {
            matches!(it.part, Part::Reply(_))
                && matches!(it.kind, Kind::FieldGone | Kind::Optional | Kind::NullNew)
                && is_essential(it)
        },
        NeedsWork,
        "The SDK does not cope where it is missing: a success without it is reported as a malformed reply.",
        "the overlay requires the few fields that a reply is worth nothing without",
    ),
    rule(
        |it| {
            matches!(it.part, Part::Reply(_))
                && matches!(it.kind, Kind::FieldGone | Kind::Optional | Kind::NullNew)
                && it.path.ends_with("[]")
        },
        NeedsWork,
        "The SDK does not cope: it expects a value in each place of the list.",
        "generated lists are lists of values",
    ),
    rule(
        |it| {
            matches!(it.part, Part::Reply(_))
                && matches!(it.kind, Kind::FieldGone | Kind::Optional | Kind::NullNew)
                && !it.path.is_empty()
        },
        Copes,
        "The SDK copes: to it the field is optional.",
        "the pass `loose-replies` makes optional what the overlay does not require",
    ),
    rule(
        |it| matches!(it.part, Part::Reply(_)) && it.kind == Kind::ValueNew,
        Copes,
        "The SDK copes: it keeps values that it does not know.",
        "the pass `open-enums`; EventChannel has a variant for others",
    ),
    rule(
        |it| {
            matches!(it.part, Part::Reply(_))
                && it.kind == Kind::Type
                && it.class == Class::Breaking
                && is_whole_number(it)
                && it.types.is_only(NUMBER | NULL)
        },
        Copes,
        "The SDK copes as long as the number is a whole one.",
        "the pass `whole-numbers` reads ids, times and counts as integers",
    ),
    rule(
        |it| matches!(it.part, Part::Reply(_)) && it.class == Class::Additive,
        Copes,
        "The SDK copes: what comes now is among what it took before.",
        "a narrower promise holds the old one",
    ),
    rule(
        |it| matches!(it.part, Part::Reply(_)) && matches!(it.kind, Kind::Wider | Kind::Exchanged),
        Copes,
        "The SDK copes: it checks no bounds, patterns or formats of a reply.",
        "the passes `no-bounds` and `plain-formats`",
    ),
    rule(
        |it| matches!(it.part, Part::Reply(_)),
        NeedsWork,
        "The SDK does not cope: it reports a malformed reply until it is generated anew.",
        "generated types parse the whole reply",
    ),
    // -- requests
    rule(
        |it| {
            is_store_hash_header(it)
                && matches!(
                    it.kind,
                    Kind::FieldNew { .. } | Kind::Required | Kind::Optional
                )
                && sends_store_hash(it)
        },
        Copes,
        "The SDK copes: the overlay has it send this header already.",
        "X-Store-Hash is a security scheme in the overlay",
    ),
    rule(
        |it| it.kind == Kind::FieldNew { required: false },
        Copes,
        "The SDK copes: it does not send it until it is generated anew.",
        "an optional field may be left out",
    ),
    rule(
        |it| {
            matches!(it.kind, Kind::Required | Kind::FieldNew { required: true })
                && is_always_sent(it)
        },
        Copes,
        "The SDK copes: it always sends it.",
        "the arguments that the SDK's builders require",
    ),
    rule(
        |it| matches!(it.kind, Kind::Required | Kind::FieldNew { required: true }) && is_sent(it),
        NeedsWork,
        "The SDK copes only where the caller gives it: to the SDK it is optional.",
        "the optional arguments of the SDK's builders, left out where unset",
    ),
    rule(
        |it| {
            matches!(it.kind, Kind::FieldNew { .. } | Kind::BodyNew) && it.class == Class::Breaking
        },
        NeedsWork,
        "The SDK does not cope: it does not send it.",
        "requests are generated",
    ),
    rule(
        |it| it.kind == Kind::FieldGone && is_store_hash_header(it) && sends_store_hash(it),
        NeedsWork,
        "The SDK still sends this header, as the overlay has it; whether the service ignores it is unknown.",
        "X-Store-Hash is a security scheme in the overlay",
    ),
    rule(
        |it| it.kind == Kind::FieldGone && is_sent(it),
        NeedsWork,
        "The SDK still sends it where the caller gives it; whether the service ignores it is unknown.",
        "requests are generated",
    ),
    rule(
        |it| it.kind == Kind::FieldGone,
        Copes,
        "The SDK copes: it does not send it.",
        "requests are generated from fewer fields",
    ),
    rule(
        |it| matches!(it.kind, Kind::NullGone | Kind::NullNew),
        Copes,
        "The SDK copes: it never sends null, it leaves out what is unset.",
        "generated requests skip what is none",
    ),
    rule(
        |it| {
            it.kind == Kind::Type
                && matches!(it.part, Part::Parameter(..))
                && is_sent(it)
                && is_whole_number(it)
                && it.types.has(STRING | NUMBER)
        },
        Copes,
        "The SDK copes: the overlay makes it an integer, and its digits are the same text in the URL.",
        "channelId, limit and offset are integers in the overlay or in the document",
    ),
    rule(
        |it| it.kind == Kind::Type && is_sent(it) && is_whole_number(it) && it.types.has(NUMBER),
        Copes,
        "The SDK copes: the overlay makes it an integer.",
        "channelId in the overlay; the pass `whole-numbers` for ids and times",
    ),
    rule(
        |it| it.kind == Kind::Narrower && it.class == Class::Breaking && keeps_bound(it),
        Copes,
        "The SDK copes: it keeps this bound before it sends anything.",
        "input.rs refuses empty text, ids.rs what is below 1, server_tokens.rs a page above 250",
    ),
    rule(
        |it| {
            matches!(it.kind, Kind::Narrower | Kind::Exchanged | Kind::ValueGone)
                && it.class == Class::Breaking
        },
        NeedsWork,
        "The SDK does not check it: a value that is not accepted any more gives the service's own error.",
        "the pass `no-bounds`; validation is the SDK's own",
    ),
    rule(
        |it| it.kind == Kind::Default,
        NeedsWork,
        "The SDK leaves the field out unless the caller gives it, so the service decides: look whether its docs still say the right thing.",
        "the pass `no-defaults`",
    ),
    rule(
        |it| it.kind == Kind::BodyGone || it.kind == Kind::MediaGone,
        NeedsWork,
        "The SDK does not cope: it sends JSON as before.",
        "requests are generated",
    ),
    rule(
        |it| it.kind == Kind::Required,
        Copes,
        "The SDK copes: it always sends its body.",
        "the overlay requires every request body",
    ),
    rule(
        |it| it.class == Class::Additive,
        Copes,
        "The SDK copes: what it sends is accepted as before.",
        "a wider request takes the old one",
    ),
    rule(
        |_| true,
        NeedsWork,
        "The SDK does not cope: it sends what was asked for before.",
        "requests are generated",
    ),
];

/// How the SDK stands to a change.
pub(super) fn of(subject: &Subject<'_>) -> Coping {
    RULES.iter().find(|rule| (rule.applies)(subject)).map_or(
        Coping {
            verdict: NeedsWork,
            sentence: "Whether the SDK copes is not known.",
        },
        |rule| rule.coping,
    )
}

fn is_known(it: &Subject<'_>) -> bool {
    KNOWN_OPERATIONS.contains(&it.operation)
}

fn wire_success(status: &str) -> bool {
    wire::is_success(status)
}

/// The credentials that the SDK sends with each operation whatever the client holds: the overlay's.
const SENT_CREDENTIALS: [(&str, &[&str]); 6] = [
    ("post-auth-customers-storefront", LOGIN_PAIR),
    ("post-auth-customer", &[]),
    ("get-auth-storefront", &["header X-Store-Hash"]),
    ("post-auth-backend", &[]),
    ("delete-auth-backend", &["header authToken"]),
    ("get-backend-tokens", &["header authToken"]),
];
const LOGIN_PAIR: &[&str] = &["header X-Auth-Token", "header X-Store-Hash"];

fn sends_enough(it: &Subject<'_>) -> bool {
    sent_credentials(it).is_some_and(|sent| sends(it, sent))
}

fn sent_credentials(it: &Subject<'_>) -> Option<&'static [&'static str]> {
    SENT_CREDENTIALS
        .iter()
        .find(|(operation, _)| *operation == it.operation)
        .map(|(_, sent)| *sent)
}

/// Whether one of the accepted sets asks for nothing beyond `sent`.
fn sends(it: &Subject<'_>, sent: &[&str]) -> bool {
    it.credentials.is_some_and(|accepted| {
        accepted.iter().any(|set| {
            set.iter()
                .all(|one| sent.iter().any(|sent| sent.eq_ignore_ascii_case(one)))
        })
    })
}

fn is_store_hash_header(it: &Subject<'_>) -> bool {
    matches!(it.part, Part::Parameter("header", name) if name.eq_ignore_ascii_case("X-Store-Hash"))
}

fn sends_store_hash(it: &Subject<'_>) -> bool {
    sent_credentials(it).is_some_and(|sent| sent.contains(&"header X-Store-Hash"))
}

/// What the SDK sends with each operation: always, and where the caller gives it.
const SENT_FIELDS: [(&str, &[&str], &[&str]); 6] = [
    (
        "post-auth-customers-storefront",
        &["customerId"],
        &[
            "channelId",
            "customerAccessToken",
            "customerAccessToken.value",
            "customerAccessToken.expires_at",
        ],
    ),
    (
        "post-auth-customer",
        &["storeHash", "email", "password", "name"],
        &["channelId", "beginAt", "endAt"],
    ),
    ("get-auth-storefront", &["jwtToken"], &["channelId"]),
    (
        "post-auth-backend",
        &["storeHash", "email", "password", "name"],
        &["channelId", "beginAt", "endAt"],
    ),
    ("delete-auth-backend", &["id"], &["email", "name"]),
    ("get-backend-tokens", &[], &["limit", "offset"]),
];

/// The name of what a request carries, a parameter's or a field's.
fn sent_name<'a>(it: &Subject<'a>) -> &'a str {
    match it.part {
        Part::Parameter(_, name) if it.path.is_empty() => name,
        _ => it.path,
    }
}

fn is_always_sent(it: &Subject<'_>) -> bool {
    // The object of a customer access token is never sent without its value.
    sent_name(it) == "customerAccessToken.value"
        || SENT_FIELDS.iter().any(|(operation, always, _)| {
            *operation == it.operation && always.contains(&sent_name(it))
        })
}

fn is_sent(it: &Subject<'_>) -> bool {
    is_always_sent(it)
        || SENT_FIELDS.iter().any(|(operation, _, optional)| {
            *operation == it.operation && optional.contains(&sent_name(it))
        })
}

/// Whether the SDK refuses by itself what this bound forbids.
fn keeps_bound(it: &Subject<'_>) -> bool {
    let mut parts = it.said.split('`').skip(1);
    let keyword = parts.next().unwrap_or_default();
    let limit = parts
        .next()
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|limit| limit.parse::<f64>().ok());
    let (Some(limit), false) = (limit, it.said.contains("exclusive")) else {
        return false;
    };
    let name = sent_name(it);
    let is_text = [
        "storeHash",
        "password",
        "jwtToken",
        "customerAccessToken.value",
    ]
    .contains(&name)
        || (is_always_sent(it) && ["email", "name"].contains(&name));
    let is_id = ["customerId", "channelId", "id"].contains(&name);
    is_sent(it)
        && match keyword {
            "minLength" => is_text && limit <= 1.0,
            "minimum" => {
                (limit <= 1.0 && (is_id || name == "limit"))
                    || (limit <= 0.0 && ["offset", "beginAt", "endAt"].contains(&name))
            }
            "maximum" => name == "limit" && limit >= 250.0,
            _ => false,
        }
}

fn is_whole_number(it: &Subject<'_>) -> bool {
    let name = match it.part {
        Part::Parameter(_, name) if it.path.is_empty() => name,
        _ => it.path.rsplit(['.', ']']).next().unwrap_or_default(),
    };
    [
        "code",
        "id",
        "channelId",
        "customerId",
        "beginAt",
        "endAt",
        "limit",
        "offset",
        "totalCount",
    ]
    .contains(&name)
}

fn is_token(it: &Subject<'_>) -> bool {
    it.path == "data.token"
        && [
            "get-auth-storefront",
            "post-auth-customer",
            "post-auth-customers-storefront",
        ]
        .contains(&it.operation)
}

/// What of a success nothing is read from.
fn is_unread(it: &Subject<'_>) -> bool {
    let below = |field: &str| {
        it.path
            .strip_prefix(field)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    below("code")
        || (below("meta") && it.operation != "get-backend-tokens")
        || (below("data") && it.operation == "delete-auth-backend")
}

/// What a success is worth nothing without.
fn is_essential(it: &Subject<'_>) -> bool {
    match it.operation {
        "get-backend-tokens" => ["data", "data[].id"].contains(&it.path),
        "post-auth-backend" => ["data", "data[].token", "data.token"].contains(&it.path),
        "delete-auth-backend" => false,
        _ => ["data", "data.token"].contains(&it.path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_says_what_it_rests_on_and_begins_with_the_sdk() {
        for rule in RULES {
            assert!(!rule.because.is_empty(), "{}", rule.coping.sentence);
            assert!(rule.coping.sentence.starts_with("The SDK "));
            assert!(rule.coping.sentence.ends_with('.'));
        }
    }
}

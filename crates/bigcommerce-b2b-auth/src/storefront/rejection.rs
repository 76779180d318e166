//! What a reply of a data API says of the token that was sent: taken or refused. 401 says so by itself; GraphQL says it in the
//! body of a 200, in one of two ways that were seen of the service.

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::Value;

use super::{judge::Judgement, replay::Answer};

/// The code by which GraphQL refuses a token.
const REFUSED: i64 = 40101;

/// The message by which it refuses what is no readable token, without a code.
const UNREADABLE: &str = "JWT verification failed";

/// What a status says. A 403 has understood whose token it is, and takes it for one that may not do this.
pub(crate) fn of_status(status: u16) -> Answer<()> {
    if status == 401 {
        Answer::Refused(())
    } else {
        Answer::Accepted(())
    }
}

/// What a response says, by an application's own rule and by the SDK's. `graphql` is the body of a success in GraphQL.
pub(crate) fn of_response(opinion: Judgement, status: u16, graphql: Option<&[u8]>) -> Answer<()> {
    match opinion {
        Judgement::TokenAccepted => Answer::Accepted(()),
        Judgement::TokenRejected if graphql.is_some_and(has_data) => Answer::RefusedForGood(()),
        Judgement::TokenRejected => Answer::Refused(()),
        Judgement::NoOpinion | Judgement::NeedsBody => match of_status(status) {
            Answer::Accepted(()) => graphql.map_or(Answer::Accepted(()), of_graphql),
            by_status => by_status,
        },
    }
}

/// Whether a body in GraphQL has data: a part of what was asked for was done.
fn has_data(body: &[u8]) -> bool {
    serde_json::from_slice::<OneOrMany>(body)
        .is_ok_and(|OneOrMany(replies)| replies.iter().any(|reply| reply.has_data))
}

/// What the body of a GraphQL reply says, one or a batch of them. What is no such body says nothing.
pub(crate) fn of_graphql(body: &[u8]) -> Answer<()> {
    let Ok(OneOrMany(replies)) = serde_json::from_slice::<OneOrMany>(body) else {
        return Answer::Accepted(());
    };
    if !replies.iter().any(|reply| reply.refuses) {
        Answer::Accepted(())
    } else if replies.iter().any(|reply| reply.has_data) {
        Answer::RefusedForGood(())
    } else {
        Answer::Refused(())
    }
}

/// What counts in the body of a GraphQL reply.
#[derive(Debug, Clone, Copy, Default)]
struct Reply {
    refuses: bool,
    has_data: bool,
}

/// The replies of a body: more than one for a batch.
struct OneOrMany(Vec<Reply>);

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Replies;

        impl<'de> Visitor<'de> for Replies {
            type Value = OneOrMany;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a GraphQL reply, or a list of them")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<OneOrMany, A::Error> {
                let mut reply = Reply::default();
                // Read as it comes: the data, which may be much, is looked at and not kept.
                while let Some(name) = map.next_key::<String>()? {
                    match name.as_str() {
                        "data" => reply.has_data |= map.next_value::<Data>()?.is_there,
                        "errors" => reply.refuses |= refuses(&map.next_value()?),
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(OneOrMany(vec![reply]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<OneOrMany, A::Error> {
                let mut replies = Vec::new();
                while let Some(OneOrMany(reply)) = seq.next_element()? {
                    replies.extend(reply);
                }
                Ok(OneOrMany(replies))
            }
        }

        deserializer.deserialize_any(Replies)
    }
}

/// Whether any of a reply's fields has a value.
struct Data {
    is_there: bool,
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Data;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object, or null")
            }

            fn visit_unit<E>(self) -> Result<Data, E> {
                Ok(Data { is_there: false })
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Data, A::Error> {
                let mut is_there = false;
                while map.next_key::<IgnoredAny>()?.is_some() {
                    is_there |= map.next_value::<Option<IgnoredAny>>()?.is_some();
                }
                Ok(Data { is_there })
            }
        }

        deserializer.deserialize_any(Fields)
    }
}

fn refuses(errors: &Value) -> bool {
    errors
        .as_array()
        .is_some_and(|errors| errors.iter().any(is_refusal))
}

fn is_refusal(error: &Value) -> bool {
    match error.get("extensions") {
        None | Some(Value::Null) => error
            .get("message")
            .and_then(Value::as_str)
            .is_some_and(|message| message.trim().eq_ignore_ascii_case(UNREADABLE)),
        Some(extensions) => extensions.get("code").and_then(number) == Some(REFUSED),
    }
}

/// A code of GraphQL as a number, however it is written.
pub(super) fn number(code: &Value) -> Option<i64> {
    match code {
        Value::Number(code) => code.as_i64(),
        Value::String(code) => code.trim().parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn verdict(body: &Value) -> Answer<()> {
        of_graphql(body.to_string().as_bytes())
    }

    #[test]
    fn a_401_refuses_the_token_and_nothing_else_does() {
        assert_eq!(of_status(401), Answer::Refused(()));
        for status in [200, 204, 302, 400, 402, 403, 404, 429, 500, 503] {
            assert_eq!(of_status(status), Answer::Accepted(()), "{status}");
        }
    }

    #[test]
    fn an_opinion_goes_before_the_rule() {
        let refusal = json!({"errors": [{"message": "JWT verification failed"}]}).to_string();
        let refusal = Some(refusal.as_bytes());
        let done = Some(&br#"{"data": {"order": {"id": 7}}}"#[..]);
        let nothing = Some(&br#"{"data": {"order": null}}"#[..]);
        for (opinion, status, graphql, expected) in [
            (Judgement::TokenAccepted, 401, None, Answer::Accepted(())),
            (Judgement::TokenAccepted, 200, refusal, Answer::Accepted(())),
            (Judgement::TokenRejected, 200, None, Answer::Refused(())),
            (Judgement::TokenRejected, 200, nothing, Answer::Refused(())),
            (
                Judgement::TokenRejected,
                200,
                done,
                Answer::RefusedForGood(()),
            ),
            (
                Judgement::TokenRejected,
                200,
                Some(b"odd"),
                Answer::Refused(()),
            ),
            (Judgement::NoOpinion, 401, None, Answer::Refused(())),
            (Judgement::NoOpinion, 200, refusal, Answer::Refused(())),
            (Judgement::NeedsBody, 200, refusal, Answer::Refused(())),
            (Judgement::NeedsBody, 419, None, Answer::Accepted(())),
            (Judgement::NoOpinion, 200, done, Answer::Accepted(())),
        ] {
            let verdict = of_response(opinion, status, graphql);
            assert_eq!(verdict, expected, "{opinion:?} {status}");
        }
    }

    #[test]
    fn both_ways_of_graphql_count() {
        let code = json!({"message": "Token expired", "extensions": {"code": 40101}});
        let text = json!({"message": "Token expired", "extensions": {"code": "40101"}});
        let bare = json!({"message": "JWT verification failed"});
        let null = json!({"message": " jwt verification failed\n", "extensions": null});
        for error in [code, text, bare, null] {
            for data in [
                json!(null),
                json!({}),
                json!({"company": null, "user": null}),
            ] {
                let body = json!({"data": data, "errors": [{"message": "first"}, error]});
                assert_eq!(verdict(&body), Answer::Refused(()), "{body}");
            }
            assert_eq!(verdict(&json!({"errors": [error]})), Answer::Refused(()));
        }
    }

    #[test]
    fn what_only_looks_like_it_does_not_count() {
        for error in [
            json!({"message": "JWT verification failed", "extensions": {"code": 500}}),
            json!({"message": "JWT verification failed", "extensions": {}}),
            json!({"message": "JWT verification failed for the fun of it"}),
            json!({"message": "no", "extensions": {"code": 40301}}),
            json!({"message": "Invalid User Access", "extensions": {"code": 401}}),
            json!({"message": "Invalid User Access", "extensions": {"code": "401"}}),
            json!({"message": "Invalid User Access", "extensions": {"code": 403}}),
            json!({"message": "Invalid User Access"}),
            json!({"message": "no", "extensions": {"code": "INSUFFICIENT_ACCESS_SCOPE"}}),
            json!({"message": "no", "extensions": {"code": 40101.5}}),
            json!({"message": "no", "extensions": {"code": [40101]}}),
            json!({"message": "no", "extensions": {"kode": 40101}}),
            json!({"message": "40101"}),
            json!({"message": 40101}),
            json!("JWT verification failed"),
            json!(40101),
        ] {
            let body = json!({"data": null, "errors": [error]});
            assert_eq!(verdict(&body), Answer::Accepted(()), "{body}");
        }
        for body in [
            json!({"data": {"message": "JWT verification failed", "code": 40101}}),
            json!({"errors": {"message": "JWT verification failed"}}),
            json!({"errors": null}),
            json!({"message": "JWT verification failed"}),
            json!([]),
            json!("JWT verification failed"),
            json!(40101),
        ] {
            assert_eq!(verdict(&body), Answer::Accepted(()), "{body}");
        }
        for body in [
            "",
            "{",
            "<html>",
            "{\"errors\":[{\"message\":\"JWT verification failed\"}]",
        ] {
            assert_eq!(of_graphql(body.as_bytes()), Answer::Accepted(()), "{body}");
        }
    }

    #[test]
    fn what_came_in_part_was_done_and_is_not_done_twice() {
        let error = json!({"message": "Token expired", "extensions": {"code": 40101}});
        let body = json!({"data": {"order": {"id": 7}, "user": null}, "errors": [error]});
        assert_eq!(verdict(&body), Answer::RefusedForGood(()));
        let body = json!({"errors": [error], "data": {"count": 0}});
        assert_eq!(verdict(&body), Answer::RefusedForGood(()));
    }

    #[test]
    fn what_is_no_graphql_is_told_by_what_it_should_be() {
        let reason = |body: &str| match serde_json::from_str::<OneOrMany>(body) {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        };
        assert!(reason("5").contains("a GraphQL reply, or a list of them"));
        assert!(reason(r#"{"data": 5}"#).contains("an object, or null"));
        assert_eq!(reason(r#"{"data": null}"#), "");
    }

    #[test]
    fn one_of_a_batch_is_enough() {
        let error = json!({"message": "JWT verification failed"});
        let refused = json!({"data": null, "errors": [error]});
        let done = json!({"data": {"a": 1}});
        assert_eq!(verdict(&json!([refused, refused])), Answer::Refused(()));
        assert_eq!(verdict(&json!([refused, done])), Answer::RefusedForGood(()));
        assert_eq!(verdict(&json!([done, done])), Answer::Accepted(()));
    }
}

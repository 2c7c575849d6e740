//! What routes may answer instead of what was asked for, as the API is described.

use std::collections::BTreeMap;

use utoipa::IntoResponses;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};

/// The media type of every answer that is no success.
pub(super) const PROBLEM_JSON: &str = "application/problem+json";

/// What any route that reads may answer instead of what was asked for.
pub(super) struct Refusals;

impl IntoResponses for Refusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let refusals = [
            ("400", "A parameter or the body is unknown or not of its form."),
            ("401", "A token is needed, and the request has none that is known."),
            (
                "403",
                "The token's role is too low; or, where there are no tokens, the request does \
                 not come from this machine or comes from a foreign page.",
            ),
            ("415", "There is a body, and it is not sent as `application/json`."),
            ("500", "The program failed, or its data cannot be used; the log says more."),
            ("503", "A backend is away, or too much is asked at once; try again later."),
        ];
        described(&refusals)
    }
}

/// What any route that takes a body may answer beside [`Refusals`].
pub(super) struct BodyRefusals;

impl IntoResponses for BodyRefusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        described(&[
            ("408", "The body did not arrive in time."),
            ("413", "The body is larger than this route takes."),
        ])
    }
}

fn described(refusals: &[(&str, &str)]) -> BTreeMap<String, RefOr<Response>> {
    let answer = |&(status, description): &(&str, &str)| {
        let body = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
        let answer = ResponseBuilder::new().description(description).content(PROBLEM_JSON, body);
        (status.to_owned(), RefOr::T(answer.build()))
    };
    refusals.iter().map(answer).collect()
}

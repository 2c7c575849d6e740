//! The problems that routes may answer, for the description of the API.

use std::collections::BTreeMap;

use utoipa::IntoResponses;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};

/// The media type of problems.
pub(super) const PROBLEM_JSON: &str = "application/problem+json";

/// The problems that any route may answer.
pub(super) struct Refusals;

impl IntoResponses for Refusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let refusals = [
            ("400", "A parameter is unknown or malformed, or the body is malformed."),
            ("401", "A token is needed, and the request has none, or an unknown one."),
            (
                "403",
                "The token's role is too low; the user is of some sites, and the request concerns all \
                 sites; or, if no tokens are configured, the request does \
                 not come from this machine, or comes from a foreign page.",
            ),
            ("415", "The body is not sent as `application/json`."),
            ("500", "The program failed, or its data cannot be used; the log says more."),
            ("503", "A backend is away, or there are too many requests; try again later."),
        ];
        described(&refusals)
    }
}

/// The problems that any route with a body may answer beside [`Refusals`].
pub(super) struct BodyRefusals;

impl IntoResponses for BodyRefusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        described(&[
            ("408", "The body did not arrive in time."),
            ("413", "The body is larger than this route takes."),
        ])
    }
}

/// The problems that any change of a stock item may answer beside [`Refusals`].
pub(super) struct ItemRefusals;

impl IntoResponses for ItemRefusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        described(&[
            ("404", "There is no such shop, or no item goes by the name."),
            (
                "409",
                "The reference is taken; several items go by the name, as `candidates` lists; the \
                 item or shop does not exist and `create` is not set; or the change became a dead \
                 letter.",
            ),
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

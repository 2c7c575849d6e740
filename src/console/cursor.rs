//! Cursors of lists: opaque to clients, the Store's own cursors in base64url.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::http::problem::{Problem, ProblemCode};
use crate::store::{PageRequest, StoreError};

/// Items of a page by default.
pub(super) const LIMIT_DEFAULT: usize = 100;
/// Items of a page at most.
pub(super) const LIMIT_MAX: usize = 500;

/// Reads `cursor` and `limit` of a list's query.
pub(super) fn page_request(
    cursor: Option<&str>,
    limit: Option<usize>,
) -> Result<PageRequest, Problem> {
    let limit = limit.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        let detail = format!("limit: must be 1 to {LIMIT_MAX}");
        return Err(Problem::new(ProblemCode::RequestInvalid, detail));
    }
    let after = cursor.map(decode).transpose()?;
    Ok(PageRequest { after, limit })
}

/// The cursor that a client gets for a place in a list.
pub(super) fn encode(place: Option<String>) -> Option<String> {
    place.map(|place| URL_SAFE_NO_PAD.encode(place))
}

fn decode(cursor: &str) -> Result<String, Problem> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| foreign())?;
    match String::from_utf8(bytes) {
        Ok(place) if !place.is_empty() => Ok(place),
        Ok(_) | Err(_) => Err(foreign()),
    }
}

/// What a failure to read a page means: a call that is refused because of its cursor is the
/// caller's mistake.
pub(super) fn problem(error: StoreError, page: &PageRequest) -> Problem {
    let is_of_cursor = page.after.is_some() && matches!(error, StoreError::Rejected { .. });
    if is_of_cursor { foreign() } else { error.into() }
}

/// A cursor that this list never gave out.
fn foreign() -> Problem {
    Problem::new(
        ProblemCode::RequestInvalid,
        "cursor: does not belong to this list; leave it out for the first page",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_the_place_it_was_made_of() {
        for place in ["product:P1", "a|b/ü", "\u{1f600}"] {
            let cursor = encode(Some(place.to_owned())).unwrap();
            assert!(cursor.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)));
            let page = page_request(Some(&cursor), Some(7)).unwrap();
            assert_eq!(page, PageRequest { after: Some(place.to_owned()), limit: 7 });
        }
    }

    #[test]
    fn what_no_list_gave_out_is_refused() {
        for cursor in ["", "!", "product:P1", "_w", "=="] {
            let problem = page_request(Some(cursor), None).unwrap_err();
            assert_eq!(problem.code(), ProblemCode::RequestInvalid, "{cursor:?}");
        }
    }

    #[test]
    fn limits_are_inclusive() {
        assert_eq!(page_request(None, None).unwrap(), PageRequest::first(100));
        assert!(page_request(None, Some(1)).is_ok() && page_request(None, Some(500)).is_ok());
        assert!(page_request(None, Some(0)).is_err() && page_request(None, Some(501)).is_err());
    }
}

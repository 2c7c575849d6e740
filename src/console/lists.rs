//! What all routes that list something have in common: the page that is asked for, and the answer.

use axum::Json;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::items::check_site;
use super::request::invalid;
use super::views::ListView;
use super::{Backends, cursor};
use crate::domain::{IDENTIFIER_BYTES_MAX, Site};
use crate::http::problem::Problem;
use crate::store::{Page, PageRequest, StoreError};

/// The query of a list without filters.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PageQuery {
    /// `next_cursor` of the previous page.
    pub(super) cursor: Option<String>,
    /// The most items of the page; 100 by default.
    #[param(minimum = 1, maximum = 500)]
    pub(super) limit: Option<usize>,
}

/// Reads `q` of a list's query; an empty one selects everything.
pub(super) fn read_query(text: Option<String>) -> Result<Option<String>, Problem> {
    let text = text.filter(|text| !text.is_empty());
    if text.as_ref().is_some_and(|text| text.chars().count() > IDENTIFIER_BYTES_MAX) {
        return Err(invalid(format!("q: is longer than {IDENTIFIER_BYTES_MAX} characters")));
    }
    Ok(text)
}

/// Answers with a page that the Store found.
pub(super) fn answer<T, V>(
    found: Result<Page<T>, StoreError>,
    page: &PageRequest,
) -> Result<Json<ListView<V>>, Problem>
where
    V: ToSchema + for<'a> From<&'a T>,
{
    let found = found.map_err(|error| cursor::problem(error, page))?;
    let items = found.items.iter().map(V::from).collect();
    Ok(Json(ListView { items, next_cursor: cursor::encode(found.next) }))
}

/// As [`answer`], for a list of a site: an empty list would hide a misspelt name, so a site that
/// does not exist is a problem.
pub(super) async fn answer_of_site<T, V>(
    backends: &Backends,
    site: &Site,
    found: Result<Page<T>, StoreError>,
    page: &PageRequest,
) -> Result<Json<ListView<V>>, Problem>
where
    V: ToSchema + for<'a> From<&'a T>,
{
    let answer = answer(found, page)?;
    if answer.items.is_empty() {
        check_site(backends, site).await?;
    }
    Ok(answer)
}

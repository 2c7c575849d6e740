//! `GET /v1/openapi.json`: the description of the API.

use axum::Json;
use serde_json::Value;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::refusals::Refusals;
use super::request::{NoParameters, Query};
use super::{
    catalogue, changes, corrections, dead_letter_commands, dead_letters, openapi_limits, orders,
    queues, receipts, replays, sites, status, stock,
};
use crate::http::problem::{Body, Problem};

/// The description of the API. The title and version are the crate's.
#[derive(Debug, OpenApi)]
#[openapi(
    info(title = "Storekeeper"),
    paths(
        sites::list_sites,
        stock::list_stock,
        stock::show_stock_item,
        stock::list_receipts,
        receipts::receive_goods,
        receipts::adjust_stock,
        receipts::count_stock,
        receipts::void_receipt,
        orders::list_orders,
        orders::show_order,
        corrections::correct_order,
        catalogue::list_catalogue,
        changes::list_changes,
        dead_letters::list_dead_letters,
        dead_letters::show_dead_letter,
        dead_letters::list_dead_letter_groups,
        dead_letter_commands::discard_dead_letter,
        dead_letter_commands::edit_dead_letter,
        replays::list_replays,
        replays::make_replay,
        replays::show_replay,
        replays::cancel_replay,
        queues::show_queues,
        queues::pause_queue,
        queues::resume_queue,
        status::show_status,
        status::list_processes,
        show_openapi,
    ),
    components(schemas(Body<'static>)),
    modifiers(&Tokens),
    security(("token" = []), ()),
    tags(
        (name = "stock", description = "Stock items, and the orders that hold them."),
        (name = "orders", description = "What orders hold and why, and corrections."),
        (name = "dead letters", description = "Webhooks that could not be applied, and their replays."),
        (name = "queues", description = "The queues, the processes, and how the service stands."),
        (name = "api", description = "The API itself."),
    ),
)]
struct Document;

/// Describes the authentication.
struct Tokens;

impl Modify for Tokens {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let token = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(
            "One of `console.tokens`, or that of one of `console.users`. Role `read` shows counts and queues; role `operate` also \
             changes things and shows the bodies of dead letters. A user of some sites sees \
             neither queues nor other sites, nor what concerns all sites. If no tokens are configured, none \
             is needed, and only the machine itself is served.",
        ));
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(token.build()));
    }
}

/// Describes this API
#[utoipa::path(
    get,
    path = "/v1/openapi.json",
    tag = "api",
    responses((status = 200, description = "This document.", body = Object), Refusals),
)]
pub(super) async fn show_openapi(_: Query<NoParameters>) -> Result<Json<Value>, Problem> {
    Ok(Json(document()))
}

/// The whole description.
pub(super) fn document() -> Value {
    let described = serde_json::to_value(Document::openapi());
    let mut document = described.expect("a description is texts, lists and objects");
    openapi_limits::complete(&mut document);
    document
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_routes_served_are_the_routes_described() {
        let document = document();
        let described: BTreeSet<&str> =
            document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
        let routes = crate::console::routes();
        let served: BTreeSet<&str> = routes.iter().map(|(path, ..)| *path).collect();
        assert_eq!(described, served);
    }

    #[test]
    fn tokens_are_described() {
        let document = document();
        let scheme = &document["components"]["securitySchemes"]["token"];
        assert_eq!((&scheme["type"], &scheme["scheme"]), (&"http".into(), &"bearer".into()));
        assert_eq!(document["security"], serde_json::json!([{"token": []}, {}]));
        let sites = &document["paths"]["/v1/sites"]["get"]["responses"];
        assert!(sites["401"].is_object() && sites["403"].is_object(), "{sites}");
    }

    #[test]
    fn every_route_has_a_name_and_a_summary_and_describes_its_parameters() {
        let mut names = BTreeSet::new();
        for (path, methods) in document()["paths"].as_object().unwrap() {
            for operation in methods.as_object().unwrap().values() {
                assert!(operation["summary"].is_string(), "{path} has no summary");
                let name = operation["operationId"].as_str().unwrap().to_owned();
                assert!(names.insert(name), "the name of {path} is taken");
                for parameter in operation["parameters"].as_array().into_iter().flatten() {
                    assert!(parameter["description"].is_string(), "{path}: {parameter}");
                }
                let answers =
                    ["200", "201"].map(|status| &operation["responses"][status]["content"]);
                assert!(answers.iter().any(|content| content.is_object()), "{path}");
            }
        }
    }

    #[test]
    fn every_schema_and_every_property_is_described() {
        let document = document();
        for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
            // A flattened schema is what it flattens, and what it adds.
            let parts = schema["allOf"].as_array().cloned().unwrap_or_default();
            let described = |schema: &Value| schema["description"].is_string();
            assert!(described(schema) || parts.iter().any(described), "{name} is not described");
            let all = std::iter::once(schema).chain(&parts);
            let properties = all.filter_map(|schema| schema["properties"].as_object()).flatten();
            for (property, schema) in properties {
                let nullable =
                    schema["oneOf"].as_array().is_some_and(|one| one.iter().any(described));
                assert!(nullable || described(schema), "{name}.{property} is not described");
            }
        }
    }

    #[test]
    fn what_is_required_is_what_is_always_answered() {
        let document = document();
        let schemas = &document["components"]["schemas"];
        let required = |name: &str| {
            let schema = &schemas[name];
            // A flattened schema requires what it flattens, and what it adds.
            let parts = schema["allOf"].as_array().into_iter().flatten();
            let all = std::iter::once(schema).chain(parts).map(|part| {
                let flattened = part["$ref"].as_str().and_then(|path| path.rsplit('/').next());
                flattened.map_or(part, |flattened| &schemas[flattened])
            });
            let required = all.filter_map(|part| part["required"].as_array()).flatten();
            required.map(|name| name.as_str().unwrap()).collect()
        };
        let line: Vec<&str> = required("Line");
        assert_eq!(line, ["key", "quantity"]);
        let item: Vec<&str> = required("StockItem");
        assert!(!item.contains(&"name") && item.contains(&"available"));
        let order: Vec<&str> = required("Order");
        assert!(order.contains(&"snapshot") && order.contains(&"left_since"));
        let list: Vec<&str> = required("List_StockItem");
        assert_eq!(list, ["items", "next_cursor"]);
    }
}

//! The OpenAPI 3.1 document: what the routers say of themselves, and what holds for all of them.

use kanade_shared::api::Problem;
use kanade_shared::api::results::Stream;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, InfoBuilder, OpenApi, OpenApiBuilder, Ref, ResponseBuilder,
};
use utoipa::{PartialSchema, ToSchema};

use super::auth;
use super::problem::MEDIA_TYPE;
use crate::config::Limits;

const TOKEN: &str = "token";
const SESSION: &str = "session";

/// The document of this version.
#[must_use]
pub fn document() -> OpenApi {
    super::pieces(&Limits::default()).document
}

/// The document before any path is in it.
pub(super) fn head() -> OpenApi {
    let info = InfoBuilder::new()
        .title("kanade")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Command and control for a fleet of PCs. Lists are pages: give `next` of one as \
             `cursor` of the following. Errors are problems with a code that never changes.",
        ))
        .build();
    let token = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    let session = ApiKeyValue::new(auth::COOKIE);
    let components = ComponentsBuilder::new()
        .schema(Problem::name(), Problem::schema())
        // Only in a query, where types are named and not described.
        .schema(Stream::name(), Stream::schema())
        .security_scheme(TOKEN, SecurityScheme::Http(token))
        .security_scheme(SESSION, SecurityScheme::ApiKey(ApiKey::Cookie(session)))
        .build();
    OpenApiBuilder::new()
        .info(info)
        .components(Some(components))
        .build()
}

/// Adds to every operation of `guarded` that it wants the token or a session, and to all that they
/// can fail.
pub(super) fn finish(mut guarded: OpenApi, open: OpenApi) -> OpenApi {
    let either = [TOKEN, SESSION].map(|scheme| SecurityRequirement::new(scheme, [""; 0]));
    for operation in operations(&mut guarded) {
        operation.security = Some(either.to_vec());
    }
    guarded.merge(open);
    for operation in operations(&mut guarded) {
        let schema = Ref::from_schema_name(Problem::name());
        let content = ContentBuilder::new().schema(Some(schema)).build();
        let problem = ResponseBuilder::new()
            .description("Why it could not be done")
            .content(MEDIA_TYPE, content)
            .build();
        operation
            .responses
            .responses
            .insert("default".to_owned(), problem.into());
    }
    guarded
}

fn operations(document: &mut OpenApi) -> impl Iterator<Item = &mut Operation> {
    document
        .paths
        .paths
        .values_mut()
        .flat_map(|item: &mut PathItem| {
            [
                &mut item.get,
                &mut item.put,
                &mut item.post,
                &mut item.delete,
            ]
            .into_iter()
            .flatten()
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use std::collections::BTreeSet;

    #[test]
    fn every_operation_has_an_id_of_its_own_a_summary_and_a_problem() {
        let mut document = document();
        let mut ids = BTreeSet::new();
        for operation in operations(&mut document) {
            let id = operation.operation_id.clone().unwrap();
            assert!(operation.summary.is_some(), "{id} has no summary");
            assert!(
                operation.responses.responses.contains_key("default"),
                "{id}"
            );
            assert!(
                operation.responses.responses.len() > 1,
                "{id} has no good answer"
            );
            assert!(ids.insert(id.clone()), "{id} is there twice");
        }
        assert!(ids.len() > 20, "{ids:?}");
    }

    #[test]
    fn every_type_that_is_named_is_described() {
        let document = serde_json::to_value(document()).unwrap();
        let known = document["components"]["schemas"].as_object().unwrap();
        let mut named = BTreeSet::new();
        refs(&document, &mut named);
        let missing: Vec<_> = named
            .iter()
            .filter(|name| !known.contains_key(*name))
            .collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    fn refs(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                if let Some(name) = fields.get("$ref").and_then(|name| name.as_str()) {
                    found.extend(
                        name.strip_prefix("#/components/schemas/")
                            .map(str::to_owned),
                    );
                }
                fields.values().for_each(|value| refs(value, found));
            }
            Value::Array(items) => items.iter().for_each(|item| refs(item, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn the_document_is_as_it_was_reviewed() {
        let document = serde_json::to_value(document()).unwrap();
        let mut lines = Vec::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                lines.push(outline(method, path, operation));
            }
        }
        for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
            let of = schema["properties"].as_object();
            let fields = of.into_iter().flatten().map(|(name, _)| name.as_str());
            lines.push(format!("{name}: {}", fields.collect::<Vec<_>>().join(" ")));
        }
        insta::assert_snapshot!(lines.join("\n"));
    }

    /// An operation in one line: what it takes and what it answers.
    fn outline(method: &str, path: &str, operation: &Value) -> String {
        let mut line = format!("{} {path}", method.to_uppercase());
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            if parameter["in"] != "path" {
                let needed = if parameter["required"] == true {
                    ""
                } else {
                    "?"
                };
                line.push_str(&format!(" {}{needed}", parameter["name"].as_str().unwrap()));
            }
        }
        let content = |of: &Value| {
            let kinds = of["content"].as_object().into_iter().flatten();
            let named = kinds.map(|(kind, body)| match body["schema"]["$ref"].as_str() {
                Some(name) => name.rsplit('/').next().unwrap_or_default().to_owned(),
                None => kind.clone(),
            });
            named.collect::<Vec<_>>().join("|")
        };
        if operation["requestBody"].is_object() {
            line.push_str(&format!(" < {}", content(&operation["requestBody"])));
        }
        for (status, answer) in operation["responses"].as_object().unwrap() {
            line.push_str(&format!(" > {status} {}", content(answer)));
        }
        line
    }
}

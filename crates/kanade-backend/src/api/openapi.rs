//! The OpenAPI 3.1 document: what the routers say of themselves, and what holds for all of them.

use kanade_shared::api::Problem;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, InfoBuilder, OpenApi, OpenApiBuilder, Ref, ResponseBuilder,
};
use utoipa::{PartialSchema, ToSchema};

use super::problem::MEDIA_TYPE;
use crate::config::Limits;

const SCHEME: &str = "token";

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
    let components = ComponentsBuilder::new()
        .schema(Problem::name(), Problem::schema())
        .security_scheme(SCHEME, SecurityScheme::Http(token))
        .build();
    OpenApiBuilder::new()
        .info(info)
        .components(Some(components))
        .build()
}

/// Adds to every operation of `guarded` that it wants the token, and to all that they can fail.
pub(super) fn finish(mut guarded: OpenApi, open: OpenApi) -> OpenApi {
    let wants_token = SecurityRequirement::new(SCHEME, std::iter::empty::<String>());
    for operation in operations(&mut guarded) {
        operation.security = Some(vec![wants_token.clone()]);
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

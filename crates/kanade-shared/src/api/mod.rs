//! Payloads of the REST API, as the backend answers them and the CLI and the dashboard read them.
//!
//! Lists are pages by key: `limit` and `cursor` in, [`Page::next`] out. Errors are [`Problem`]s
//! with a code that never changes.

pub mod agents;
pub mod catalogue;
pub mod events;
pub mod execs;
pub mod queue;
pub mod results;
pub mod session;
pub mod system;

use serde::{Deserialize, Serialize};

/// Where the API lives below the backend's address.
pub const PREFIX: &str = "/api/v1";

/// Most rows that one page may have.
pub const PAGE_MAX: u32 = 500;

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Cursor of the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// All rows that match the filters.
    pub count: Count,
}

/// A number of rows that is exact up to 1,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Count {
    /// At least this many.
    pub at_least: u64,
    /// Whether it is exactly that many.
    pub exact: bool,
}

impl std::fmt::Display for Count {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.at_least, if self.exact { "" } else { "+" })
    }
}

/// An error, as RFC 9457 (problem+json) has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// `about:blank`: the code says more than a page could.
    #[serde(rename = "type", default = "about_blank")]
    pub kind: String,
    /// HTTP status.
    pub status: u16,
    /// For programs; never changes.
    pub code: String,
    /// What failed, with which input: one sentence without a full stop.
    pub title: String,
    /// Causes, outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    /// The input at fault, such as `targets.groups`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

fn about_blank() -> String {
    "about:blank".to_owned()
}

impl Problem {
    /// A problem with no more than its status, code and sentence.
    #[must_use]
    pub fn new(status: u16, code: &str, title: impl Into<String>) -> Self {
        Self {
            kind: about_blank(),
            status,
            code: code.to_owned(),
            title: title.into(),
            causes: Vec::new(),
            field: None,
            help: None,
        }
    }
}

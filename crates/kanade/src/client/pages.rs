//! Lists in pages by key: as many rows as were asked for, over as many requests as it takes.

use kanade_shared::api::{Count, PAGE_MAX, Page};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Client;
use crate::failure::Failure;

/// How many rows are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asking {
    /// All there are.
    All,
    /// At most this many.
    AtMost(u64),
}

impl Asking {
    fn left(self, have: usize) -> u64 {
        match self {
            Self::All => u64::from(PAGE_MAX),
            Self::AtMost(most) => most.saturating_sub(have as u64).min(PAGE_MAX.into()),
        }
    }
}

/// Rows of a list.
#[derive(Debug, Clone)]
pub(crate) struct Listed<T> {
    /// The rows.
    pub items: Vec<T>,
    /// How many the filters match in all.
    pub count: Count,
    /// Whether there are more than were asked for.
    pub more: bool,
}

/// A query with the two fields that every list has.
#[derive(Serialize)]
struct Paged<'a, Q> {
    #[serde(flatten)]
    query: &'a Q,
    limit: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

/// Reads a list; `query` is one of the API's query types without limit and cursor.
///
/// # Errors
/// As [`Client::get`].
pub(crate) async fn list<T, Q>(
    client: &Client,
    path: &str,
    query: &Q,
    asking: Asking,
) -> Result<Listed<T>, Failure>
where
    T: DeserializeOwned,
    Q: Serialize + Sync,
{
    let query = filters(query);
    let mut items: Vec<T> = Vec::new();
    let mut cursor = None;
    loop {
        let limit = asking.left(items.len()).max(1);
        let page: Page<T> = client
            .get(
                path,
                &Paged {
                    query: &query,
                    limit,
                    cursor,
                },
            )
            .await?;
        // A page that gives nothing and promises more would be asked for without end.
        let empty = page.items.is_empty();
        items.extend(page.items);
        cursor = page.next.filter(|_| !empty);
        if cursor.is_none() || asking.left(items.len()) == 0 {
            return Ok(Listed {
                items,
                count: page.count,
                more: cursor.is_some(),
            });
        }
    }
}

/// The filters that are set: a query string has no word for 'none'.
fn filters<Q: Serialize>(query: &Q) -> serde_json::Map<String, serde_json::Value> {
    match serde_json::to_value(query) {
        Ok(serde_json::Value::Object(map)) => map
            .into_iter()
            .filter(|(name, value)| !value.is_null() && name != "limit" && name != "cursor")
            .collect(),
        Ok(_) | Err(_) => serde_json::Map::new(),
    }
}

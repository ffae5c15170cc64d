//! Pages by key, as the API asks for them: limits, cursors and sorts, checked at the door.
//!
//! A cursor is opaque to its reader: base64 of the sort it belongs to and the key of the last
//! row. One that was made for another sort is refused, since it would skip rows silently.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kanade_shared::api::{Count, PAGE_MAX, Page};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{FleetError, FleetResult};
use crate::store::page::{Order, Slice};

/// Rows of a page when the request doesn't say.
const LIMIT: u32 = 100;

/// Reads what a request says of its page.
///
/// # Errors
/// [`FleetError::Invalid`] for a limit out of range, or a cursor of another list or sort.
pub(super) fn slice<K: DeserializeOwned>(
    limit: Option<u32>,
    cursor: Option<&str>,
    sort: &str,
    order: Order,
) -> FleetResult<Slice<K>> {
    let limit = limit.unwrap_or(LIMIT);
    if !(1..=PAGE_MAX).contains(&limit) {
        return Err(FleetError::invalid(
            "limit",
            format!("must be 1 to {PAGE_MAX}"),
        ));
    }
    let after = cursor.map(|cursor| read(cursor, sort)).transpose()?;
    Ok(Slice {
        after,
        order,
        limit,
    })
}

fn read<K: DeserializeOwned>(cursor: &str, sort: &str) -> FleetResult<K> {
    let wrong = || {
        FleetError::invalid(
            "cursor",
            "is not one that a page of this list and sort has given",
        )
    };
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| wrong())?;
    let (of, key): (String, K) = serde_json::from_slice(&bytes).map_err(|_| wrong())?;
    if of == sort { Ok(key) } else { Err(wrong()) }
}

/// Makes a page of one row more than asked for; `key` names the last row that is given.
pub(super) fn page<T, K: Serialize>(
    mut items: Vec<T>,
    count: Count,
    limit: u32,
    sort: &str,
    key: impl Fn(&T) -> K,
) -> Page<T> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).and_then(|last| {
        // Keys are numbers and texts, which always have a JSON.
        serde_json::to_vec(&(sort, key(last)))
            .ok()
            .map(|bytes| URL_SAFE_NO_PAD.encode(bytes))
    });
    Page { items, next, count }
}

/// Splits `-issued_at` into its field and its direction, and checks that the list has it.
///
/// # Errors
/// [`FleetError::Invalid`] that names the sorts there are.
pub(super) fn sort<'a>(
    asked: Option<&'a str>,
    default: &'a str,
    fields: &[&str],
) -> FleetResult<(&'a str, Order)> {
    let asked = asked.unwrap_or(default);
    let (field, order) = match asked.strip_prefix('-') {
        Some(field) => (field, Order::Down),
        None => (asked, Order::Up),
    };
    if fields.contains(&field) {
        return Ok((field, order));
    }
    let all: Vec<String> = fields
        .iter()
        .map(|one| format!("`{one}`, `-{one}`"))
        .collect();
    Err(FleetError::invalid(
        "sort",
        format!("is `{asked}`; it can be {}", all.join(", ")),
    ))
}

/// The name most like `wanted`, when one is like it at all.
pub(super) fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    names
        .map(|name| (strsim::damerau_levenshtein(wanted, name), name))
        .filter(|(distance, name)| *distance <= 2.max(name.len() / 4))
        .min()
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_goes_on_after_its_row_and_only_in_its_own_sort() {
        let count = Count {
            at_least: 3,
            exact: true,
        };
        let first = page(vec![1, 2, 3], count, 2, "-issued_at", |n| *n);
        assert_eq!(first.items, [1, 2]);
        let next = first.next.unwrap();
        let slice: Slice<i64> = slice(Some(2), Some(&next), "-issued_at", Order::Down).unwrap();
        assert_eq!(slice.after, Some(2));
        assert!(super::slice::<i64>(None, Some(&next), "issued_at", Order::Up).is_err());
        assert!(super::slice::<i64>(None, Some("x"), "issued_at", Order::Up).is_err());
        let last = page(vec![3], count, 2, "-issued_at", |n| *n);
        assert_eq!(last.next, None);
    }

    #[test]
    fn limits_and_sorts_are_checked_in_words() {
        let error = slice::<i64>(Some(501), None, "x", Order::Up).unwrap_err();
        assert_eq!(error.to_string(), "limit must be 1 to 500");
        assert!(slice::<i64>(Some(0), None, "x", Order::Up).is_err());
        assert_eq!(sort(None, "-a", &["a"]).unwrap(), ("a", Order::Down));
        let error = sort(Some("b"), "-a", &["a"]).unwrap_err();
        assert_eq!(error.to_string(), "sort is `b`; it can be `a`, `-a`");
    }

    #[test]
    fn a_typing_error_finds_the_name_that_was_meant() {
        let names = ["lab", "lobby", "office"];
        assert_eq!(nearest("lba", names.into_iter()), Some("lab"));
        assert_eq!(nearest("warehouse", names.into_iter()), None);
    }
}

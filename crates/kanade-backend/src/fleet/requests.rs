//! What makes a request safe to send again, and a large one safe to send at all: idempotency keys
//! and previews.
//!
//! A key names one request of one account; the same request under it is the same exec. A preview
//! shows whom an exec would hit, and holds it to exactly that.

use chrono::Duration;
use kanade_shared::api::execs::{ExecPreview, ExecRequest, RetryRequest};
use kanade_shared::id::{ExecId, PcId};
use kanade_shared::wire::command::Reach;
use sha2::{Digest, Sha256};

use super::execs::{check, deadline, jitter, random, what};
use super::targets::resolve;
use super::{Fleet, FleetError, FleetResult, Operator};
use crate::store::Tx;
use crate::store::requests::Preview;

/// How long a preview holds.
const PREVIEW_MINUTES: i64 = 15;
/// PCs that a preview names.
const PREVIEW_SAMPLE: usize = 100;
/// Longest idempotency key, in characters.
const KEY_MAX: usize = 200;

impl Fleet {
    /// Whom an exec would hit, with a token that holds it to exactly that for 15 minutes.
    ///
    /// # Errors
    /// [`FleetError`] for whatever the exec itself would be refused for.
    pub async fn exec_preview(
        &self,
        request: &ExecRequest,
        _by: &Operator,
    ) -> FleetResult<ExecPreview> {
        check(request)?;
        let mut tx = self.store.begin().await?;
        let what = what(&mut tx, &request.what).await?;
        let deadline = deadline(request.deadline_s, tx.now())?;
        jitter(request.jitter_s, &what.run, request.deadline_s)?;
        let pcs = resolve(&mut tx, &request.targets).await?;
        if pcs.is_empty() && request.reach != Some(Reach::Open) {
            return Err(FleetError::NoTargets);
        }
        let online = tx.agents_online().await?;
        let offline = pcs.iter().filter(|pc_id| !online.contains(*pc_id)).count() as u64;
        let token = hex::encode(random::<16>()?);
        let preview = Preview {
            request_hash: request_hash(request)?,
            pcs,
        };
        let expires_at = tx.now() + Duration::minutes(PREVIEW_MINUTES);
        tx.preview_insert(&token, &preview, expires_at).await?;
        tx.commit().await?;
        let count = preview.pcs.len() as u64;
        let sample = preview.pcs.into_iter().take(PREVIEW_SAMPLE).collect();
        Ok(ExecPreview {
            token,
            count,
            offline,
            sample,
            deadline,
        })
    }
}

/// Two operators may draw the same key.
pub(super) fn scoped_key(key: &str, by: &Operator) -> FleetResult<String> {
    let printable = key.chars().all(|c| c.is_ascii_graphic());
    if key.is_empty() || key.len() > KEY_MAX || !printable {
        let what = format!("must be 1 to {KEY_MAX} printable characters without blanks");
        return Err(FleetError::invalid("Idempotency-Key", what));
    }
    Ok(format!("{}/{key}", by.account_id))
}

/// The exec that came of the same request under this key before.
pub(super) async fn known(
    tx: &mut Tx,
    key: Option<&str>,
    hash: &[u8],
) -> FleetResult<Option<ExecId>> {
    let Some(key) = key else { return Ok(None) };
    match tx.idempotency_find(key).await? {
        None => Ok(None),
        Some((of, exec_id)) if of == hash => Ok(Some(exec_id)),
        Some(_) => {
            let key = key.split_once('/').map_or(key, |(_, key)| key).to_owned();
            Err(FleetError::KeyReused { key })
        }
    }
}

/// Names a request but for the preview that it refers to.
pub(super) fn request_hash(request: &ExecRequest) -> FleetResult<Vec<u8>> {
    let bare = ExecRequest {
        preview: None,
        ..request.clone()
    };
    let json = serde_json::to_vec(&bare)
        .map_err(|error| FleetError::invalid("what", format!("has no JSON: {error}")))?;
    Ok(Sha256::digest(json).to_vec())
}

/// Names a retry; no request for a new exec has this name.
pub(super) fn retry_hash(exec_id: ExecId, request: &RetryRequest) -> FleetResult<Vec<u8>> {
    let json = serde_json::to_vec(&("retry", exec_id, request))
        .map_err(|error| FleetError::invalid("retry", format!("has no JSON: {error}")))?;
    Ok(Sha256::digest(json).to_vec())
}

pub(super) async fn as_previewed(
    tx: &mut Tx,
    token: &str,
    hash: &[u8],
    pcs: &[PcId],
) -> FleetResult<()> {
    let shown = || token.chars().take(80).collect();
    let Some(preview) = tx.preview_find(token).await? else {
        return Err(FleetError::PreviewExpired { token: shown() });
    };
    if preview.request_hash != hash {
        return Err(FleetError::PreviewOther { token: shown() });
    }
    match difference(&preview.pcs, pcs) {
        None => Ok(()),
        Some(change) => Err(FleetError::PreviewChanged { change }),
    }
}

/// Who entered and who left, in words; both lists are sorted.
fn difference(before: &[PcId], after: &[PcId]) -> Option<String> {
    let missing_in = |other: &[PcId], of: &[PcId]| -> Vec<String> {
        let missing = of
            .iter()
            .filter(|pc_id| other.binary_search(pc_id).is_err());
        missing.map(ToString::to_string).collect()
    };
    let words = |names: Vec<String>, verb: &str| {
        let more = names.len().saturating_sub(3);
        let shown = names.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
        let rest = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        (!names.is_empty()).then(|| format!("{shown}{rest} {verb}"))
    };
    let entered = words(missing_in(before, after), "entered");
    let left = words(missing_in(after, before), "left");
    let both: Vec<String> = entered.into_iter().chain(left).collect();
    (!both.is_empty()).then(|| both.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_list_is_told_by_who_entered_and_who_left() {
        let pcs = |names: &[&str]| -> Vec<PcId> {
            names
                .iter()
                .map(|name| PcId::parse(name).unwrap())
                .collect()
        };
        assert_eq!(difference(&pcs(&["a", "b"]), &pcs(&["a", "b"])), None);
        let change = difference(&pcs(&["a", "b"]), &pcs(&["b", "c", "d", "e", "f", "g"]));
        assert_eq!(
            change.as_deref(),
            Some("c, d, e and 2 more entered; a left")
        );
    }
}

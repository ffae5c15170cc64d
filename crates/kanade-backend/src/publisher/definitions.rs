//! Copies definitions to their buckets: jobs (JSON, YAML byte for byte, current version) and the
//! groups of each PC. A job that only the broker has is taken over.
//!
//! What the buckets hold is read at the start and after a reconnect; in between, it is what was
//! put there.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use chrono::Utc;
use kanade_shared::id::JobId;
use kanade_shared::manifest::Job;

use super::PublishError;
use super::kept::{self, Outgoing};
use crate::flow::Flow;
use crate::store::published::{Fingerprint, JobCopy};

/// The buckets, each with the stream under it.
const BUCKETS: [&str; 4] = ["jobs", "jobs_yaml", "script_current", "agent_groups"];

/// What the buckets hold, by subject.
#[derive(Debug, Default)]
pub struct Copies {
    there: BTreeMap<String, Bytes>,
    jobs: Option<Fingerprint>,
    groups: Option<Fingerprint>,
    /// Values that no message can hold; it was said once.
    refused: BTreeMap<String, Bytes>,
}

impl Copies {
    /// Nothing of what the buckets hold, but what was said of values that are too large.
    #[must_use]
    pub fn unread(self) -> Self {
        Self {
            refused: self.refused,
            ..Self::default()
        }
    }
}

/// Room in a message for all but the value.
const HEADERS_BYTES: usize = 1024;

/// Reads what the buckets hold, and takes over jobs that the database lacks.
///
/// # Errors
/// [`PublishError`] when broker or database do not answer.
pub async fn look(flow: &Flow, copies: &mut Copies) -> Result<(), PublishError> {
    *copies = std::mem::take(copies).unread();
    for bucket in BUCKETS {
        let stream = format!("KV_{bucket}");
        let filter = format!("$KV.{bucket}.>");
        let kept = kept::all(&flow.js, &stream, &filter).await;
        let kept = kept.map_err(|source| PublishError::Read { source })?;
        let values = kept.into_iter().filter(|kept| !kept.deleted);
        copies
            .there
            .extend(values.map(|kept| (kept.subject, kept.payload)));
    }
    take_over(flow, copies).await
}

async fn take_over(flow: &Flow, copies: &Copies) -> Result<(), PublishError> {
    let known = flow.store.job_copies().await?;
    let dropped: BTreeSet<String> = flow
        .store
        .drops_list()
        .await?
        .into_iter()
        .filter(|(kind, _)| kind == "jobs")
        .map(|(_, key)| key)
        .collect();
    let mut foreign = Vec::new();
    for (subject, yaml) in &copies.there {
        let Some(key) = subject.strip_prefix("$KV.jobs_yaml.") else {
            continue;
        };
        let Ok(job_id) = JobId::parse(key) else {
            continue;
        };
        if known.contains_key(&job_id) || dropped.contains(key) {
            continue;
        }
        let definition = copies.there.get(&subject_of("jobs", key));
        if let Some(copy) = definition.and_then(|json| copy_of(&job_id, json, yaml)) {
            foreign.push(copy);
        }
    }
    if foreign.is_empty() {
        return Ok(());
    }
    tracing::warn!(jobs = foreign.len(), "jobs are taken back from the broker");
    let mut tx = flow.store.begin().await?;
    for (copy, job) in &foreign {
        tx.job_adopt(copy, job.description.as_deref()).await?;
    }
    tx.behind_mark(flow.agreed_until()).await?;
    tx.commit().await?;
    flow.counters.recovered.add(foreign.len() as u64);
    Ok(())
}

fn copy_of(job_id: &JobId, definition: &Bytes, yaml: &Bytes) -> Option<(JobCopy, Job)> {
    let job: Job = serde_json::from_slice(definition).ok()?;
    if job.id != *job_id {
        return None;
    }
    let copy = JobCopy {
        job_id: job_id.clone(),
        version: job.version.clone(),
        definition: String::from_utf8(definition.to_vec()).ok()?,
        yaml: String::from_utf8(yaml.to_vec()).ok()?,
    };
    Some((copy, job))
}

/// Puts what differs, and removes what has to go. A value that no message can hold is skipped, and
/// told once.
///
/// # Errors
/// [`PublishError`] when broker or database do not answer.
pub async fn reconcile(flow: &Flow, copies: &mut Copies) -> Result<(), PublishError> {
    remove_dropped(flow, copies).await?;
    let jobs = flow.store.jobs_fingerprint().await?;
    let groups = flow.store.groups_fingerprint().await?;
    let mut wanted = BTreeMap::new();
    if copies.jobs.as_ref() != Some(&jobs) {
        for (job_id, copy) in flow.store.job_copies().await? {
            let key = job_id.as_str();
            wanted.insert(subject_of("jobs", key), Bytes::from(copy.definition));
            wanted.insert(subject_of("jobs_yaml", key), Bytes::from(copy.yaml));
            wanted.insert(subject_of("script_current", key), Bytes::from(copy.version));
        }
    }
    if copies.groups.as_ref() != Some(&groups) {
        wanted.extend(memberships(flow, copies).await?);
    }
    put(flow, copies, wanted).await?;
    copies.jobs = Some(jobs);
    copies.groups = Some(groups);
    Ok(())
}

async fn memberships(
    flow: &Flow,
    copies: &Copies,
) -> Result<BTreeMap<String, Bytes>, PublishError> {
    let mut wanted = BTreeMap::new();
    for row in flow.store.desired_list(None).await? {
        let subject = subject_of("agent_groups", row.pc_id.as_str());
        // One without groups has no key, unless it had groups before.
        if !row.groups.is_empty() || copies.there.contains_key(&subject) {
            let value = serde_json::json!({ "groups": row.groups });
            wanted.insert(subject, Bytes::from(value.to_string()));
        }
    }
    Ok(wanted)
}

async fn put(
    flow: &Flow,
    copies: &mut Copies,
    wanted: BTreeMap<String, Bytes>,
) -> Result<(), PublishError> {
    let largest = flow.client.max_payload().saturating_sub(HEADERS_BYTES);
    let mut differing = Vec::new();
    for (subject, value) in wanted {
        if copies.there.get(&subject) == Some(&value) {
            continue;
        }
        if value.len() <= largest {
            copies.refused.remove(&subject);
            differing.push(Outgoing::plain(subject, value));
        } else if copies.refused.get(&subject) != Some(&value) {
            let bytes = value.len();
            tracing::warn!(
                subject,
                bytes,
                largest,
                "a definition is too large for a message of the broker; it is not copied there"
            );
            copies.refused.insert(subject, value);
        }
    }
    kept::publish(&flow.js, &differing, Utc::now()).await?;
    let put = differing
        .into_iter()
        .map(|message| (message.subject, message.payload));
    copies.there.extend(put);
    Ok(())
}

async fn remove_dropped(flow: &Flow, copies: &mut Copies) -> Result<(), PublishError> {
    let drops = flow.store.drops_list().await?;
    if drops.is_empty() {
        return Ok(());
    }
    for drop in &drops {
        let buckets: &[&str] = match drop.0.as_str() {
            "jobs" => &["jobs", "jobs_yaml", "script_current"],
            // A group is in the values of its members alone.
            _ => &[],
        };
        for bucket in buckets {
            let broker = |source: async_nats::Error| PublishError::Read { source };
            let store = flow.js.get_key_value(*bucket).await;
            let store = store.map_err(|error| broker(error.into()))?;
            let deleted = store.delete(&drop.1).await;
            deleted.map_err(|error| broker(error.into()))?;
            copies.there.remove(&subject_of(bucket, &drop.1));
        }
    }
    let mut tx = flow.store.begin().await?;
    for drop in &drops {
        tx.drop_done(drop).await?;
    }
    tx.commit().await?;
    Ok(())
}

fn subject_of(bucket: &str, key: &str) -> String {
    format!("$KV.{bucket}.{key}")
}

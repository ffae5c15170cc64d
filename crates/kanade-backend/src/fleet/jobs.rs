//! The catalogue of jobs.
//!
//! The YAML is kept byte for byte, so that what an operator reads back is what was written. A
//! definition that only differs in comments is a change all the same.

use kanade_shared::api::Page;
use kanade_shared::api::catalogue::{Applied, Change, JobView, NameQuery};
use kanade_shared::id::JobId;
use kanade_shared::manifest::Job;
use serde_json::json;

use super::groups::matches;
use super::{Fleet, FleetError, FleetResult, Operator, page};
use crate::store::Tx;
use crate::store::page::Order;

/// Largest definition, in bytes of YAML and in bytes of JSON: its copies must fit in a message of
/// the broker, which is 1 MiB at most.
const DEFINITION_MAX_BYTES: usize = 900 << 10;

impl Fleet {
    /// Jobs, one page, by name.
    ///
    /// # Errors
    /// [`FleetError::Invalid`] for a page or cursor that there is not.
    pub async fn jobs_list(&self, query: &NameQuery) -> FleetResult<Page<JobView>> {
        let slice = page::slice(query.limit, query.cursor.as_deref(), "job_id", Order::Up)?;
        let (jobs, count) = self
            .store
            .jobs_list(query.search.as_deref(), &slice)
            .await?;
        Ok(page::page(jobs, count, slice.limit, "job_id", |job| {
            job.job_id.to_string()
        }))
    }

    /// One job with its YAML.
    ///
    /// # Errors
    /// [`FleetError::UnknownJob`] when there is none.
    pub async fn job_fetch(&self, job_id: &JobId) -> FleetResult<JobView> {
        match self.store.job_find(job_id).await? {
            Some(job) => Ok(job),
            None => Err(unknown(&mut self.store.begin().await?, job_id, None).await?),
        }
    }

    /// Makes a job what the YAML says; with `if_match` only when it has that revision.
    ///
    /// # Errors
    /// [`FleetError`] with all that is wrong in the definition, or for a revision that is another.
    pub async fn job_apply(
        &self,
        job_id: &JobId,
        yaml: &str,
        if_match: Option<u64>,
        dry_run: bool,
        by: &Operator,
    ) -> FleetResult<Applied> {
        let job = checked(job_id, yaml)?;
        let mut tx = self.store.begin().await?;
        let is = tx.job_find(job_id).await?;
        let revision = is.as_ref().map_or(0, |job| job.revision);
        matches(&format!("job `{job_id}`"), revision, if_match)?;
        let change = match &is {
            None => Change::Created,
            Some(is) if is.yaml.as_deref() == Some(yaml) => {
                return Ok(Applied {
                    change: Change::Unchanged,
                    revision,
                });
            }
            Some(_) => Change::Updated,
        };
        let applied = Applied {
            change,
            revision: revision + 1,
        };
        if dry_run {
            return Ok(applied);
        }
        tx.job_write(&job, yaml, applied.revision, &by.account_id)
            .await?;
        let detail = json!({
            "change": change,
            "revision": applied.revision,
            "version": job.version,
        });
        tx.audit_insert(&by.account_id, "job.apply", job_id.as_str(), &detail)
            .await?;
        tx.next_change();
        tx.commit().await?;
        self.publisher.nudge();
        Ok(applied)
    }

    /// Removes a job from the catalogue; its execs go on.
    ///
    /// # Errors
    /// [`FleetError`] when there is none, or its revision is another.
    pub async fn job_delete(
        &self,
        job_id: &JobId,
        if_match: Option<u64>,
        by: &Operator,
    ) -> FleetResult<()> {
        let mut tx = self.store.begin().await?;
        let Some(job) = tx.job_find(job_id).await? else {
            return Err(unknown(&mut tx, job_id, None).await?);
        };
        matches(&format!("job `{job_id}`"), job.revision, if_match)?;
        tx.job_delete(job_id).await?;
        let detail = json!({ "revision": job.revision, "version": job.version });
        tx.audit_insert(&by.account_id, "job.delete", job_id.as_str(), &detail)
            .await?;
        tx.next_change();
        tx.commit().await?;
        self.publisher.nudge();
        Ok(())
    }
}

/// The error for a job that there is not, with the name that may have been meant.
pub(super) async fn unknown(
    tx: &mut Tx,
    job_id: &JobId,
    field: Option<&'static str>,
) -> FleetResult<FleetError> {
    let names = tx.job_names().await?;
    let nearest = page::nearest(job_id.as_str(), names.iter().map(String::as_str));
    let nearest = nearest.and_then(|name| name.parse().ok());
    Ok(FleetError::UnknownJob {
        job_id: job_id.clone(),
        nearest,
        field,
    })
}

fn checked(job_id: &JobId, yaml: &str) -> FleetResult<Job> {
    let object = format!("job `{job_id}`");
    let fits = |form: &str, bytes: usize| {
        if bytes <= DEFINITION_MAX_BYTES {
            return Ok(());
        }
        Err(FleetError::TooLarge {
            what: format!("the definition of {object}, as {form},"),
            bytes: bytes as u64,
            limit_bytes: DEFINITION_MAX_BYTES as u64,
        })
    };
    fits("YAML", yaml.len())?;
    let job: Job = serde_saphyr::from_str(yaml).map_err(|error| FleetError::Unreadable {
        object: object.clone(),
        what: error.to_string(),
    })?;
    if job.id != *job_id {
        let what = format!("is `{}`, not `{job_id}` as in the address", job.id);
        return Err(FleetError::invalid("id", what));
    }
    job.check().map_err(|wrong| FleetError::Definition {
        object: object.clone(),
        wrong,
    })?;
    // Control characters take more room as JSON.
    fits(
        "JSON",
        serde_json::to_vec(&job).map_or(0, |json| json.len()),
    )?;
    Ok(job)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_that_no_message_can_hold_is_refused_with_its_sizes() {
        let job_id = JobId::parse("big").unwrap();
        let yaml = |script: &str| {
            format!(
                "apiVersion: kanade/v1\nkind: Job\nid: big\nversion: 1.0.0\nrun:\n  shell: sh\n  script: \"{script}\"\n"
            )
        };
        assert!(checked(&job_id, &yaml("true")).is_ok());
        let large = checked(&job_id, &yaml(&"x".repeat(DEFINITION_MAX_BYTES)));
        let error = large.unwrap_err();
        assert_eq!(error.code(), "request.too_large");
        assert!(error.to_string().contains("big"), "{error}");
    }
}

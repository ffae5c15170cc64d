//! The catalogue of jobs: the definition, and the operator's YAML byte for byte.

use kanade_shared::api::Count;
use kanade_shared::api::catalogue::JobView;
use kanade_shared::id::JobId;
use kanade_shared::manifest::Job;

use super::convert::{count, integer, json, ms, name, time, to_json};
use super::groups::containing;
use super::page::{Slice, count_of, counted};
use super::sql::{self, Conn, QueryBuilder, Row};
use super::{Store, StoreError, Tx, failed};

impl Store {
    /// Jobs whose name contains `search`, by name, with how many there are.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn jobs_list(
        &self,
        search: Option<&str>,
        slice: &Slice<String>,
    ) -> Result<(Vec<JobView>, Count), StoreError> {
        let mut conn = self.read().await?;
        let mut select = QueryBuilder::new(
            "SELECT job_id, version, description, revision, updated_by, updated_at
             FROM jobs WHERE job_id > ",
        );
        select.push_bind(slice.after.clone().unwrap_or_default());
        containing(&mut select, "job_id", search);
        select
            .push(" ORDER BY job_id LIMIT ")
            .push_bind(slice.rows());
        let rows = select
            .build()
            .fetch_all(&mut conn)
            .await
            .map_err(failed("list jobs"))?;
        let rows = rows.iter().map(job_view).collect::<Result<_, _>>()?;
        let mut matching = count_of("jobs");
        containing(&mut matching, "job_id", search);
        Ok((rows, counted(&mut conn, matching).await?))
    }

    /// One job with its definition and YAML.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn job_find(&self, job_id: &JobId) -> Result<Option<JobView>, StoreError> {
        let mut conn = self.read().await?;
        job_find(&mut conn, job_id).await
    }
}

impl Tx {
    /// One job with its definition and YAML.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn job_find(&mut self, job_id: &JobId) -> Result<Option<JobView>, StoreError> {
        job_find(self, job_id).await
    }

    /// Names of all jobs, by name; for hints.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn job_names(&mut self) -> Result<Vec<String>, StoreError> {
        sql::query_scalar("SELECT job_id FROM jobs ORDER BY job_id LIMIT 5000")
            .fetch_all(self)
            .await
            .map_err(failed("list jobs"))
    }

    /// Makes a job what is written, with this revision.
    ///
    /// # Errors
    /// [`StoreError`] when it is not stored.
    pub async fn job_write(
        &mut self,
        job: &Job,
        yaml: &str,
        revision: u64,
        by: &str,
    ) -> Result<(), StoreError> {
        let now = ms(self.now());
        sql::query(
            "INSERT INTO jobs (job_id, version, description, definition, yaml, revision,
               updated_by, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
             ON CONFLICT (job_id) DO UPDATE SET version = excluded.version,
               description = excluded.description, definition = excluded.definition,
               yaml = excluded.yaml, revision = excluded.revision,
               updated_by = excluded.updated_by, updated_at = excluded.updated_at",
        )
        .bind(job.id.as_str())
        .bind(&job.version)
        .bind(job.description.as_deref())
        .bind(to_json("jobs.definition", job)?)
        .bind(yaml)
        .bind(integer(revision))
        .bind(by)
        .bind(now)
        .execute(self)
        .await
        .map_err(failed("store a job"))?;
        sql::query("DELETE FROM drops WHERE kind = 'jobs' AND key = $1")
            .bind(job.id.as_str())
            .execute(self)
            .await
            .map_err(failed("store a job"))?;
        Ok(())
    }

    /// Removes a job, and notes that its published copies have to go.
    ///
    /// # Errors
    /// [`StoreError`] when it is not stored.
    pub async fn job_delete(&mut self, job_id: &JobId) -> Result<(), StoreError> {
        sql::query("DELETE FROM jobs WHERE job_id = $1")
            .bind(job_id.as_str())
            .execute(self)
            .await
            .map_err(failed("delete a job"))?;
        self.drop_insert("jobs", job_id.as_str()).await
    }
}

async fn job_find(conn: &mut Conn, job_id: &JobId) -> Result<Option<JobView>, StoreError> {
    let row = sql::query(
        "SELECT job_id, version, description, revision, updated_by, updated_at, definition, yaml
         FROM jobs WHERE job_id = $1",
    )
    .bind(job_id.as_str())
    .fetch_optional(conn)
    .await
    .map_err(failed("read a job"))?;
    let Some(row) = row else { return Ok(None) };
    let mut job = job_view(&row)?;
    job.job = Some(json("jobs.definition", row.get("definition"))?);
    job.yaml = Some(row.get("yaml"));
    Ok(Some(job))
}

fn job_view(row: &Row) -> Result<JobView, StoreError> {
    Ok(JobView {
        job_id: name("jobs.job_id", row.get("job_id"))?,
        version: row.get("version"),
        description: row.get("description"),
        revision: count(row.get("revision")),
        updated_by: row.get("updated_by"),
        updated_at: time(row.get("updated_at")),
        job: None,
        yaml: None,
    })
}

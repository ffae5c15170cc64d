//! What one PC has not ended.

use chrono::{DateTime, Utc};
use kanade_shared::id::{ExecId, JobId, PcId, RequestId};

use super::convert::{exec_id, name, request_id, time};
use super::sql::{QueryBuilder, Row};
use super::{Store, StoreError, failed};

/// One exec that waits for a PC, or runs on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueRow {
    /// The exec.
    pub exec_id: ExecId,
    /// The run.
    pub request_id: RequestId,
    /// Its job, if it is of one.
    pub job_id: Option<JobId>,
    /// What people call it.
    pub title: String,
    /// Who issued it.
    pub issued_by: String,
    /// When its attempt was issued.
    pub issued_at: DateTime<Utc>,
    /// Latest start of its attempt.
    pub deadline: DateTime<Utc>,
}

impl Store {
    /// What this PC has not ended, oldest exec first, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn queue_of(&self, pc_id: &PcId, limit: u32) -> Result<Vec<QueueRow>, StoreError> {
        let mut conn = self.read().await?;
        let rows = select(pc_id, limit)
            .build()
            .fetch_all(&mut conn)
            .await
            .map_err(failed("read what waits for a PC"))?;
        rows.iter().map(queue_row).collect()
    }
}

/// What is open for one PC is few, and found by an index of that alone.
pub(super) fn select(pc_id: &PcId, limit: u32) -> QueryBuilder {
    let mut select = QueryBuilder::new(
        "SELECT t.exec_id, t.request_id, e.job_id, e.title, e.issued_by,
           COALESCE(c.issued_at, e.issued_at) AS issued_at,
           COALESCE(c.deadline, e.deadline) AS deadline
         FROM targets t
         JOIN execs e ON e.exec_id = t.exec_id
         LEFT JOIN commands c ON c.exec_id = t.exec_id AND c.attempt = t.attempt
         WHERE t.open = 1 AND t.newest = 1 AND t.state <> 'ended' AND t.pc_id = ",
    );
    select.push_bind(pc_id.as_str());
    select
        .push(" ORDER BY t.exec_id LIMIT ")
        .push_bind(i64::from(limit));
    select
}

fn queue_row(row: &Row) -> Result<QueueRow, StoreError> {
    let job: Option<String> = row.get("job_id");
    Ok(QueueRow {
        exec_id: exec_id(row.get("exec_id"))?,
        request_id: request_id(row.get("request_id"))?,
        job_id: job.map(|id| name("execs.job_id", &id)).transpose()?,
        title: row.get("title"),
        issued_by: row.get("issued_by"),
        issued_at: time(row.get("issued_at")),
        deadline: time(row.get("deadline")),
    })
}

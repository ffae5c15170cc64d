//! Execs as people issue and see them. How their targets and counters move later is in `intake`.

use chrono::{DateTime, Utc};
use kanade_shared::api::Count;
use kanade_shared::api::execs::{Counts, ExecQuery, ExecState, ExecView, Targets};
use kanade_shared::id::{Attempt, ExecId, JobId, PcId, RequestId};
use kanade_shared::wire::command::{Reach, Run, StopAction};
use kanade_shared::wire::result::Outcome;

use super::convert::{
    self, count, exec_bytes, exec_id, integer, json, ms, name, reach, reach_word, request_bytes,
    stop, stop_word, time, to_json,
};
use super::page::{Slice, count_of, counted};
use super::sql::{self, Conn, QueryBuilder, Row};
use super::{ROWS_PER_STATEMENT, Store, StoreError, Tx, failed};

const COLUMNS: &str = "e.exec_id, e.job_id, e.job_version, e.title, e.reach, e.issued_by, \
     e.issued_at, e.deadline, e.reason, e.stop, e.ended_at, e.adopted, e.n_targets, e.n_pending, \
     e.n_admitted, e.n_running, e.n_ok, e.n_failed, e.n_timed_out, e.n_killed, e.n_skipped, \
     e.n_interrupted, e.n_expired, e.n_withdrawn, e.n_revoked, e.n_superseded, e.n_lost, \
     d.targets FROM execs e LEFT JOIN exec_details d ON d.exec_id = e.exec_id";

/// An exec to store; all its targets wait.
#[derive(Debug, Clone, PartialEq)]
pub struct NewExec<'a> {
    /// Its id.
    pub exec_id: ExecId,
    /// The job, absent for an ad-hoc script.
    pub job_id: Option<&'a JobId>,
    /// The job's version.
    pub job_version: Option<&'a str>,
    /// What people see of it.
    pub title: &'a str,
    /// Fixed or open.
    pub reach: Reach,
    /// Whom the operator named.
    pub targets: &'a Targets,
    /// What runs, with its script inline.
    pub run: &'a Run,
    /// Account that issued it.
    pub issued_by: &'a str,
    /// When.
    pub issued_at: DateTime<Utc>,
    /// Latest start.
    pub deadline: DateTime<Utc>,
    /// Why.
    pub reason: Option<&'a str>,
    /// Until when PCs may join.
    pub joins_until: Option<DateTime<Utc>>,
    /// When it ended, for one that hits nobody.
    pub ended_at: Option<DateTime<Utc>>,
    /// How many PCs it has.
    pub count: u64,
}

impl Store {
    /// Execs that match, by id, with how many there are.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn execs_list(
        &self,
        query: &ExecQuery,
        prefix: Option<(ExecId, ExecId)>,
        slice: &Slice<ExecId>,
    ) -> Result<(Vec<ExecView>, Count), StoreError> {
        let mut conn = self.read().await?;
        let mut select = page_of(query, prefix, slice);
        let rows = select
            .build()
            .fetch_all(&mut conn)
            .await
            .map_err(failed("list execs"))?;
        let rows = rows.iter().map(exec_view).collect::<Result<_, _>>()?;
        Ok((rows, counted(&mut conn, matching(query, prefix)).await?))
    }

    /// One exec.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn exec_find(&self, id: ExecId) -> Result<Option<ExecView>, StoreError> {
        let mut conn = self.read().await?;
        exec_find(&mut conn, id).await
    }

    /// Ids from `first` to `last`, at most `limit` of them.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn exec_ids_between(
        &self,
        first: ExecId,
        last: ExecId,
        limit: u32,
    ) -> Result<Vec<ExecId>, StoreError> {
        let ids: Vec<Vec<u8>> = sql::query_scalar(
            "SELECT exec_id FROM execs WHERE exec_id >= $1 AND exec_id <= $2
             ORDER BY exec_id LIMIT $3",
        )
        .bind(exec_bytes(first))
        .bind(exec_bytes(last))
        .bind(i64::from(limit))
        .fetch_all(&mut *self.read().await?)
        .await
        .map_err(failed("look for an exec"))?;
        ids.iter().map(|id| exec_id(id)).collect()
    }

    /// Execs that have not ended.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn execs_running(&self) -> Result<u64, StoreError> {
        let n: i64 = sql::query_scalar("SELECT count(*) FROM execs WHERE ended_at IS NULL")
            .fetch_one(&mut *self.read().await?)
            .await
            .map_err(failed("count execs"))?;
        Ok(count(n))
    }
}

impl Tx {
    /// One exec.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn exec_find(&mut self, id: ExecId) -> Result<Option<ExecView>, StoreError> {
        exec_find(self, id).await
    }

    /// Stores an exec without its targets.
    ///
    /// # Errors
    /// [`StoreError`] when it is not stored.
    pub async fn exec_insert(&mut self, exec: &NewExec<'_>) -> Result<(), StoreError> {
        sql::query(
            "INSERT INTO execs (exec_id, job_id, job_version, title, reach, issued_by, issued_at,
               deadline, reason, joins_until, ended_at, n_targets, n_pending)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12)",
        )
        .bind(exec_bytes(exec.exec_id))
        .bind(exec.job_id.map(JobId::as_str))
        .bind(exec.job_version)
        .bind(exec.title)
        .bind(reach_word(exec.reach))
        .bind(exec.issued_by)
        .bind(ms(exec.issued_at))
        .bind(ms(exec.deadline))
        .bind(exec.reason)
        .bind(exec.joins_until.map(ms))
        .bind(exec.ended_at.map(ms))
        .bind(integer(exec.count))
        .execute(self)
        .await
        .map_err(failed("store an exec"))?;
        sql::query("INSERT INTO exec_details (exec_id, targets, run) VALUES ($1, $2, $3)")
            .bind(exec_bytes(exec.exec_id))
            .bind(to_json("exec_details.targets", exec.targets)?)
            .bind(to_json("exec_details.run", exec.run)?)
            .execute(self)
            .await
            .map_err(failed("store an exec"))?;
        Ok(())
    }

    /// Stores waiting targets of one attempt; `pcs` are sorted.
    ///
    /// # Errors
    /// [`StoreError`] when they are not stored.
    pub async fn targets_issue(
        &mut self,
        exec_id: ExecId,
        attempt: Attempt,
        wide: bool,
        pcs: &[PcId],
    ) -> Result<(), StoreError> {
        for pcs in pcs.chunks(ROWS_PER_STATEMENT) {
            let mut insert = QueryBuilder::new(
                "INSERT INTO targets (exec_id, attempt, wide, pc_id, request_id) SELECT ",
            );
            insert.push_bind(exec_bytes(exec_id)).push(", ");
            insert.push_bind(integer(attempt.0)).push(", ");
            insert.push_bind(wide).push(", column1, column2 FROM (");
            insert.push_values(pcs, |mut row, pc_id| {
                let request_id = RequestId::derive(exec_id, pc_id, attempt);
                row.push_bind(pc_id.as_str())
                    .push_bind(request_bytes(request_id));
            });
            insert.push(") AS pcs");
            insert
                .build()
                .execute(self)
                .await
                .map_err(failed("store the targets of an exec"))?;
        }
        Ok(())
    }

    /// Says of older attempts on these PCs that a later one exists.
    ///
    /// # Errors
    /// [`StoreError`] when it is not stored.
    pub async fn targets_outdate(
        &mut self,
        exec_id: ExecId,
        pcs: &[PcId],
    ) -> Result<(), StoreError> {
        for pcs in pcs.chunks(ROWS_PER_STATEMENT) {
            let mut update =
                QueryBuilder::new("UPDATE targets SET newest = 0 WHERE newest = 1 AND exec_id = ");
            update.push_bind(exec_bytes(exec_id)).push(" AND pc_id");
            update.push_in(pcs.iter().map(|pc_id| pc_id.as_str()));
            update
                .build()
                .execute(self)
                .await
                .map_err(failed("store the targets of an exec"))?;
        }
        Ok(())
    }

    /// Marks an exec and all its commands that may still matter as stopped; a kill replaces a
    /// withdrawal.
    ///
    /// # Errors
    /// [`StoreError`] when it is not stored.
    pub async fn exec_stop(&mut self, id: ExecId, action: StopAction) -> Result<(), StoreError> {
        let now = ms(self.now());
        sql::query(
            "UPDATE execs SET stop = $2, stopped_at = $3, joins_until = NULL WHERE exec_id = $1",
        )
        .bind(exec_bytes(id))
        .bind(stop_word(action))
        .bind(now)
        .execute(self)
        .await
        .map_err(failed("stop an exec"))?;
        sql::query(
            "UPDATE commands SET stop = $2
             WHERE exec_id = $1 AND live = 1 AND (stop IS NULL OR $2 = 'kill')",
        )
        .bind(exec_bytes(id))
        .bind(stop_word(action))
        .execute(self)
        .await
        .map_err(failed("stop an exec"))?;
        Ok(())
    }

    /// Gives an exec that is tried again its new latest start. A stop before was of the attempts
    /// until then: their commands keep it, the exec has none.
    ///
    /// # Errors
    /// [`StoreError`] when it is not stored.
    pub async fn exec_again(
        &mut self,
        id: ExecId,
        deadline: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        sql::query(
            "UPDATE execs SET deadline = $2, stop = NULL, stopped_at = NULL WHERE exec_id = $1",
        )
        .bind(exec_bytes(id))
        .bind(ms(deadline))
        .execute(self)
        .await
        .map_err(failed("store an exec"))?;
        Ok(())
    }
}

pub(super) fn page_of(
    query: &ExecQuery,
    prefix: Option<(ExecId, ExecId)>,
    slice: &Slice<ExecId>,
) -> QueryBuilder {
    let mut select = QueryBuilder::new(format!("SELECT {COLUMNS} WHERE 1 = 1"));
    filter(&mut select, query, prefix);
    if let Some(after) = slice.after {
        select.push(format_args!(" AND e.exec_id {} ", slice.order.after()));
        select.push_bind(exec_bytes(after));
    }
    select.push(format_args!(
        " ORDER BY e.exec_id {} LIMIT ",
        slice.order.word()
    ));
    select.push_bind(slice.rows());
    select
}

pub(super) fn matching(query: &ExecQuery, prefix: Option<(ExecId, ExecId)>) -> QueryBuilder {
    let mut select = count_of("execs e");
    filter(&mut select, query, prefix);
    select
}

fn filter(select: &mut QueryBuilder, query: &ExecQuery, prefix: Option<(ExecId, ExecId)>) {
    match query.state {
        Some(ExecState::Running) => {
            select.push(" AND e.ended_at IS NULL");
        }
        Some(ExecState::Ended) => {
            select.push(" AND e.ended_at IS NOT NULL");
        }
        None => {}
    }
    if let Some(job_id) = &query.job_id {
        select
            .push(" AND e.job_id = ")
            .push_bind(job_id.to_string());
    }
    if let Some((first, last)) = prefix {
        select
            .push(" AND e.exec_id >= ")
            .push_bind(exec_bytes(first));
        select
            .push(" AND e.exec_id <= ")
            .push_bind(exec_bytes(last));
    }
}

async fn exec_find(conn: &mut Conn, id: ExecId) -> Result<Option<ExecView>, StoreError> {
    let mut select = QueryBuilder::new(format!("SELECT {COLUMNS} WHERE e.exec_id = "));
    select.push_bind(exec_bytes(id));
    let row = select
        .build()
        .fetch_optional(conn)
        .await
        .map_err(failed("read an exec"))?;
    row.as_ref().map(exec_view).transpose()
}

fn exec_view(row: &Row) -> Result<ExecView, StoreError> {
    let job: Option<String> = row.get("job_id");
    let stopped: Option<String> = row.get("stop");
    let targets: Option<String> = row.get("targets");
    let ended_at: Option<i64> = row.get("ended_at");
    Ok(ExecView {
        exec_id: exec_id(row.get("exec_id"))?,
        job_id: job.map(|id| name("execs.job_id", &id)).transpose()?,
        job_version: row.get("job_version"),
        title: row.get("title"),
        state: if ended_at.is_some() {
            ExecState::Ended
        } else {
            ExecState::Running
        },
        reach: reach(row.get("reach"))?,
        targets: targets
            .map(|text| json("exec_details.targets", &text))
            .transpose()?
            .unwrap_or_default(),
        issued_by: row.get("issued_by"),
        issued_at: time(row.get("issued_at")),
        deadline: time(row.get("deadline")),
        reason: row.get("reason"),
        stop: stopped.as_deref().map(stop).transpose()?,
        ended_at: ended_at.map(time),
        adopted: row.get("adopted"),
        counts: counts(row),
    })
}

fn counts(row: &Row) -> Counts {
    let mut counts = Counts {
        targets: count(row.get("n_targets")),
        pending: count(row.get("n_pending")),
        admitted: count(row.get("n_admitted")),
        running: count(row.get("n_running")),
        ..Counts::default()
    };
    for outcome in Outcome::ALL {
        let n = count(row.get(convert::counter(outcome)));
        if n > 0 {
            counts.ended.insert(outcome, n);
        }
    }
    counts
}

//! What has passed its time: targets without an answer, and rows that nobody needs any more.

use std::collections::HashMap;

use chrono::{DateTime, Duration, Utc};
use kanade_shared::id::{Attempt, ExecId, PcId, RequestId};

use super::convert::{self, count, exec_bytes, integer, ms, request_bytes, time};
use super::intake::{ExecRow, TargetRow};
use super::sql::{self, QueryBuilder};
use super::{ROWS_PER_STATEMENT, Store, StoreError, Tx, failed};

/// Rows that one transaction of retention deletes at most.
const SLICE: u32 = 2_000;

/// An attempt of an exec whose deadline has passed while targets of the exec wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overdue {
    /// The exec.
    pub exec_id: ExecId,
    /// Which attempt.
    pub attempt: Attempt,
    /// Latest start.
    pub deadline: DateTime<Utc>,
    /// When nothing of it can run any more.
    pub over_at: DateTime<Utc>,
}

/// A run whose result should be here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lacking {
    /// The PC, which is online.
    pub pc_id: PcId,
    /// The exec.
    pub exec_id: ExecId,
    /// Which attempt.
    pub attempt: Attempt,
}

impl Store {
    /// Attempts whose deadline is before `now` while targets of their exec wait.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn commands_overdue(&self, now: DateTime<Utc>) -> Result<Vec<Overdue>, StoreError> {
        let mut select = QueryBuilder::new(
            "SELECT c.exec_id, c.attempt, c.deadline, c.over_at
             FROM execs e",
        );
        select.push_inner_join().push(
            " commands c ON c.exec_id = e.exec_id
             WHERE e.ended_at IS NULL AND e.n_pending + e.n_admitted + e.n_running > 0
               AND c.deadline <= ",
        );
        select.push_bind(ms(now));
        let rows = select
            .build()
            .fetch_all(&mut *self.read().await?)
            .await
            .map_err(failed("list what is overdue"))?;
        rows.iter()
            .map(|row| {
                Ok(Overdue {
                    exec_id: convert::exec_id(row.get("exec_id"))?,
                    attempt: Attempt(count(row.get("attempt"))),
                    deadline: time(row.get("deadline")),
                    over_at: time(row.get("over_at")),
                })
            })
            .collect()
    }

    /// Runs of PCs that are online whose result should have come by `now`, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn runs_lacking(
        &self,
        now: DateTime<Utc>,
        limit: u32,
    ) -> Result<Vec<Lacking>, StoreError> {
        let rows = sql::query(
            "SELECT t.pc_id, t.exec_id, t.attempt FROM targets t
             JOIN pcs p ON p.pc_id = t.pc_id
             JOIN commands c ON c.exec_id = t.exec_id AND c.attempt = t.attempt
             WHERE t.open = 1 AND p.online = 1 AND c.over_at < $1 AND c.over_at > $2
             LIMIT $3",
        )
        .bind(ms(now))
        .bind(ms(now - Duration::days(30)))
        .bind(limit)
        .fetch_all(&mut *self.read().await?)
        .await
        .map_err(failed("list runs without a result"))?;
        rows.iter()
            .map(|row| {
                Ok(Lacking {
                    pc_id: convert::name("targets.pc_id", row.get("pc_id"))?,
                    exec_id: convert::exec_id(row.get("exec_id"))?,
                    attempt: Attempt(count(row.get("attempt"))),
                })
            })
            .collect()
    }

    /// The PC that has this run.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn run_pc(&self, id: RequestId) -> Result<Option<PcId>, StoreError> {
        let name: Option<String> =
            sql::query_scalar("SELECT pc_id FROM targets WHERE request_id = $1")
                .bind(request_bytes(id))
                .fetch_optional(&mut *self.read().await?)
                .await
                .map_err(failed("find the PC of a run"))?;
        name.map(|name| convert::name("targets.pc_id", &name))
            .transpose()
    }
}

impl Tx {
    /// Targets of an attempt that have not ended, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn targets_waiting(
        &mut self,
        exec_id: ExecId,
        attempt: Attempt,
        limit: u32,
    ) -> Result<Vec<TargetRow>, StoreError> {
        let mut select = QueryBuilder::new(
            "SELECT exec_id, pc_id, attempt, request_id, newest, wide, state, outcome,
               provisional, reason_code, reason_text, exit_code, stopping, open, listed_rev,
               admitted_at, started_at, ended_at FROM targets
             WHERE state <> 'ended' AND exec_id = ",
        );
        select.push_bind(exec_bytes(exec_id));
        select.push(" AND attempt = ");
        select.push_bind(integer(attempt.0));
        select.push(" LIMIT ");
        select.push_bind(limit);
        self.targets_of(select).await
    }

    /// Open execs that nobody may join any more.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn execs_closed(&mut self) -> Result<Vec<ExecRow>, StoreError> {
        let now = self.now();
        self.execs_where("joins_until IS NOT NULL AND joins_until <=", now)
            .await
    }

    /// Whether these PCs are online, and since when it is so.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn pcs_presence_of(
        &mut self,
        pcs: &[PcId],
    ) -> Result<HashMap<PcId, (bool, DateTime<Utc>)>, StoreError> {
        let mut presence = HashMap::with_capacity(pcs.len());
        for pcs in pcs.chunks(ROWS_PER_STATEMENT) {
            let mut select =
                QueryBuilder::new("SELECT pc_id, online, presence_since FROM pcs WHERE pc_id");
            select.push_in(pcs.iter().map(PcId::as_str));
            let rows = select
                .build()
                .fetch_all(self)
                .await
                .map_err(failed("read PCs"))?;
            for row in rows {
                let pc_id = convert::name("pcs.pc_id", row.get("pc_id"))?;
                presence.insert(pc_id, (row.get("online"), time(row.get("presence_since"))));
            }
        }
        Ok(presence)
    }

    /// Notes that commands that were over before `before` matter no more.
    ///
    /// # Errors
    /// [`StoreError`] when it is not stored.
    pub async fn commands_retire(&mut self, before: DateTime<Utc>) -> Result<u64, StoreError> {
        let retired = sql::query("UPDATE commands SET live = 0 WHERE live = 1 AND over_at < $1")
            .bind(ms(before))
            .execute(self)
            .await
            .map_err(failed("retire commands"))?;
        Ok(retired.rows_affected())
    }

    /// Deletes bodies, previews and idempotency keys that have expired.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn expired_delete(&mut self) -> Result<u64, StoreError> {
        let now = self.now();
        let mut deleted = 0;
        for (statement, before) in [
            ("DELETE FROM bodies WHERE expires_at < $1", now),
            ("DELETE FROM previews WHERE expires_at < $1", now),
            (
                "DELETE FROM idempotency WHERE at < $1",
                now - Duration::days(1),
            ),
        ] {
            let done = sql::query(statement)
                .bind(ms(before))
                .execute(self)
                .await
                .map_err(failed("delete what has expired"))?;
            deleted += done.rows_affected();
        }
        Ok(deleted)
    }

    /// Deletes a slice of the oldest exec that ended before `before` and is not listed any more;
    /// `false` when there is none.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn execs_prune(&mut self, before: DateTime<Utc>) -> Result<bool, StoreError> {
        // Ids sort by the time of issue, which is before the end: younger ones are not looked at.
        let younger = exec_bytes(ExecId::new(before, [0; 10]));
        let oldest: Option<Vec<u8>> = sql::query_scalar(
            "SELECT exec_id FROM execs e WHERE exec_id < $1 AND ended_at < $2 AND NOT EXISTS
               (SELECT 1 FROM commands c WHERE c.exec_id = e.exec_id AND +c.live = 1)
             ORDER BY exec_id LIMIT 1",
        )
        .bind(younger)
        .bind(ms(before))
        .fetch_optional(self)
        .await
        .map_err(failed("look for old execs"))?;
        let Some(exec_id) = oldest else {
            return Ok(false);
        };
        for statement in [
            "DELETE FROM outputs WHERE request_id IN
               (SELECT request_id FROM results WHERE exec_id = $1 ORDER BY result_no LIMIT $2)",
            "DELETE FROM results WHERE result_no IN
               (SELECT result_no FROM results WHERE exec_id = $1 ORDER BY result_no LIMIT $2)",
            "DELETE FROM targets WHERE exec_id = $1 AND request_id IN
               (SELECT request_id FROM targets WHERE exec_id = $1 LIMIT $2)",
        ] {
            sql::query(statement)
                .bind(&exec_id)
                .bind(SLICE)
                .execute(self)
                .await
                .map_err(failed("delete old results"))?;
        }
        let left: bool = sql::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM results WHERE exec_id = $1)
               OR EXISTS (SELECT 1 FROM targets WHERE exec_id = $1)",
        )
        .bind(&exec_id)
        .fetch_one(self)
        .await
        .map_err(failed("look for old results"))?;
        if !left {
            for statement in [
                "DELETE FROM commands WHERE exec_id = $1",
                "DELETE FROM exec_details WHERE exec_id = $1",
                "DELETE FROM execs WHERE exec_id = $1",
            ] {
                sql::query(statement)
                    .bind(&exec_id)
                    .execute(self)
                    .await
                    .map_err(failed("delete old execs"))?;
            }
        }
        Ok(true)
    }
}

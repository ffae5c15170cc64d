//! Execs and targets as the projector, presence and sweep change them: many rows at a time.
//!
//! A caller reads [`TargetRow`]s and [`ExecRow`]s, changes them by the rules in `projector/rules`,
//! and gives them back in the same transaction.
//!
//! **Invariant:** an exec's counters are written in the transaction that writes its targets.

use chrono::{DateTime, Utc};
use kanade_shared::api::execs::{TargetState, TargetView};
use kanade_shared::id::{Attempt, ExecId, JobId, PcId, RequestId};
use kanade_shared::wire::command::{Reach, StopAction};
use kanade_shared::wire::result::{Outcome, Reason};

use super::convert::{self, count, exec_bytes, integer, ms, request_bytes, time};
use super::sql::{QueryBuilder, Row};
use super::{ROWS_PER_STATEMENT, StoreError, Tx, failed};

/// A row of `targets`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetRow {
    /// The exec.
    pub exec_id: ExecId,
    /// The PC.
    pub pc_id: PcId,
    /// Which attempt.
    pub attempt: Attempt,
    /// The run.
    pub request_id: RequestId,
    /// Whether no later attempt exists.
    pub newest: bool,
    /// Whether its command is in `commands.all`.
    pub wide: bool,
    /// How far it is.
    pub state: TargetState,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// Whether the outcome is the backend's word.
    pub provisional: bool,
    /// Why.
    pub reason: Option<Reason>,
    /// The program's own.
    pub exit_code: Option<i32>,
    /// Whether an operator stopped it and the PC has not confirmed.
    pub stopping: bool,
    /// Whether a result may still change it.
    pub open: bool,
    /// Rev of its PC's own document that first listed it; 0 while none did.
    pub listed_rev: u64,
    /// When the PC was heard to hold its command.
    pub admitted_at: Option<DateTime<Utc>>,
    /// Start of its run.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
}

impl TargetRow {
    /// A target that nothing was heard of.
    #[must_use]
    pub fn pending(exec_id: ExecId, pc_id: PcId, attempt: Attempt, wide: bool) -> Self {
        Self {
            request_id: RequestId::derive(exec_id, &pc_id, attempt),
            exec_id,
            pc_id,
            attempt,
            newest: true,
            wide,
            state: TargetState::Pending,
            outcome: None,
            provisional: false,
            reason: None,
            exit_code: None,
            stopping: false,
            open: true,
            listed_rev: 0,
            admitted_at: None,
            started_at: None,
            ended_at: None,
        }
    }

    /// As the API shows it.
    #[must_use]
    pub fn view(&self) -> TargetView {
        TargetView {
            pc_id: self.pc_id.clone(),
            attempt: self.attempt,
            request_id: self.request_id,
            state: self.state,
            outcome: self.outcome,
            provisional: self.provisional,
            why: self.reason.clone(),
            exit_code: self.exit_code,
            started_at: self.started_at,
            ended_at: self.ended_at,
            stopping: self.stopping,
        }
    }
}

/// Counters of an exec; of each PC its newest attempt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// All PCs.
    pub targets: i64,
    /// Not heard of yet.
    pub pending: i64,
    /// Admitted.
    pub admitted: i64,
    /// Running.
    pub running: i64,
    /// Ended, in the order of [`Outcome::ALL`].
    pub ended: [i64; Outcome::ALL.len()],
}

/// Columns of [`Tally::ended`], in its order.
const ENDED_COLUMNS: [&str; Outcome::ALL.len()] = [
    "n_ok",
    "n_failed",
    "n_timed_out",
    "n_killed",
    "n_skipped",
    "n_interrupted",
    "n_expired",
    "n_withdrawn",
    "n_revoked",
    "n_superseded",
    "n_lost",
];

/// A row of `execs`, as far as these loops need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecRow {
    /// Its id.
    pub exec_id: ExecId,
    /// Its job.
    pub job_id: Option<JobId>,
    /// Fixed or open.
    pub reach: Reach,
    /// When it was issued.
    pub issued_at: DateTime<Utc>,
    /// Latest start.
    pub deadline: DateTime<Utc>,
    /// The operator's stop.
    pub stop: Option<StopAction>,
    /// Until when PCs may join.
    pub joins_until: Option<DateTime<Utc>>,
    /// When its last target ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// Taken over from the broker.
    pub adopted: bool,
    /// Its counters.
    pub tally: Tally,
}

const TARGET_COLUMNS: &str = "exec_id, pc_id, attempt, request_id, newest, wide, state, outcome, \
     provisional, reason_code, reason_text, exit_code, stopping, open, listed_rev, admitted_at, \
     started_at, ended_at";

const EXEC_COLUMNS: &str = "exec_id, job_id, reach, issued_at, deadline, stop, joins_until, \
     ended_at, adopted, n_targets, n_pending, n_admitted, n_running, n_ok, n_failed, n_timed_out, \
     n_killed, n_skipped, n_interrupted, n_expired, n_withdrawn, n_revoked, n_superseded, n_lost";

impl Tx {
    /// The targets with these request ids, as far as there are.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn targets_by_request(
        &mut self,
        ids: &[RequestId],
    ) -> Result<Vec<TargetRow>, StoreError> {
        let mut rows = Vec::with_capacity(ids.len());
        for ids in ids.chunks(ROWS_PER_STATEMENT) {
            let mut select = QueryBuilder::new(format!(
                "SELECT {TARGET_COLUMNS} FROM targets WHERE request_id"
            ));
            select.push_in(ids.iter().map(|id| request_bytes(*id)));
            rows.extend(self.targets_of(select).await?);
        }
        Ok(rows)
    }

    /// Runs a select of [`TARGET_COLUMNS`].
    pub(super) async fn targets_of(
        &mut self,
        mut select: QueryBuilder,
    ) -> Result<Vec<TargetRow>, StoreError> {
        let rows = select
            .build()
            .fetch_all(self)
            .await
            .map_err(failed("read targets"))?;
        rows.iter().map(target_row).collect()
    }

    /// The execs with these ids, as far as there are.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn execs_by_id(&mut self, ids: &[ExecId]) -> Result<Vec<ExecRow>, StoreError> {
        let mut execs = Vec::with_capacity(ids.len());
        for ids in ids.chunks(ROWS_PER_STATEMENT) {
            let mut select =
                QueryBuilder::new(format!("SELECT {EXEC_COLUMNS} FROM execs WHERE exec_id"));
            select.push_in(ids.iter().map(|id| exec_bytes(*id)));
            let rows = select
                .build()
                .fetch_all(self)
                .await
                .map_err(failed("read execs"))?;
            for row in &rows {
                execs.push(exec_row(row)?);
            }
        }
        Ok(execs)
    }

    /// Runs a select of [`EXEC_COLUMNS`] with this condition, whose one variable is a time.
    pub(super) async fn execs_where(
        &mut self,
        condition: &'static str,
        at: DateTime<Utc>,
    ) -> Result<Vec<ExecRow>, StoreError> {
        let mut select = QueryBuilder::new(format!(
            "SELECT {EXEC_COLUMNS} FROM execs WHERE {condition} "
        ));
        select.push_bind(ms(at));
        let rows = select
            .build()
            .fetch_all(self)
            .await
            .map_err(failed("read execs"))?;
        rows.iter().map(exec_row).collect()
    }

    /// Writes what may change of targets that are there.
    ///
    /// # Errors
    /// [`StoreError`] when they are not stored.
    pub async fn targets_update(&mut self, targets: &[TargetRow]) -> Result<(), StoreError> {
        for targets in targets.chunks(ROWS_PER_STATEMENT) {
            let mut update = QueryBuilder::new(
                "WITH v (request_id, newest, state, outcome, provisional, reason_code, reason_text,
                         exit_code, stopping, open, admitted_at, started_at, ended_at) AS (",
            );
            update.push_values(targets, |mut row, target| {
                row.push_bind(request_bytes(target.request_id))
                    .push_bind(target.newest)
                    .push_bind(target.state.as_str())
                    .push_bind(target.outcome.map(Outcome::as_str))
                    .push_bind(target.provisional)
                    .push_bind(target.reason.as_ref().map(|reason| reason.code.as_str()))
                    .push_bind(target.reason.as_ref().map(|reason| reason.text.as_str()))
                    .push_bind(target.exit_code)
                    .push_bind(target.stopping)
                    .push_bind(target.open)
                    .push_bind(target.admitted_at.map(ms))
                    .push_bind(target.started_at.map(ms))
                    .push_bind(target.ended_at.map(ms));
            });
            update.push(
                ") UPDATE targets SET newest = v.newest, state = v.state, outcome = v.outcome,
                     provisional = v.provisional, reason_code = v.reason_code,
                     reason_text = v.reason_text, exit_code = v.exit_code, stopping = v.stopping,
                     open = v.open, admitted_at = v.admitted_at, started_at = v.started_at,
                     ended_at = v.ended_at
                   FROM v WHERE targets.request_id = v.request_id",
            );
            update
                .build()
                .execute(self)
                .await
                .map_err(failed("change targets"))?;
        }
        Ok(())
    }

    /// Inserts targets; one that is there stays as it is.
    ///
    /// # Errors
    /// [`StoreError`] when they are not stored.
    pub async fn targets_insert(&mut self, targets: &[TargetRow]) -> Result<(), StoreError> {
        for targets in targets.chunks(ROWS_PER_STATEMENT) {
            let mut insert = QueryBuilder::new(format!("INSERT INTO targets ({TARGET_COLUMNS}) "));
            insert.push_values(targets, |mut row, target| {
                row.push_bind(exec_bytes(target.exec_id))
                    .push_bind(target.pc_id.as_str())
                    .push_bind(integer(target.attempt.0))
                    .push_bind(request_bytes(target.request_id))
                    .push_bind(target.newest)
                    .push_bind(target.wide)
                    .push_bind(target.state.as_str())
                    .push_bind(target.outcome.map(Outcome::as_str))
                    .push_bind(target.provisional)
                    .push_bind(target.reason.as_ref().map(|reason| reason.code.as_str()))
                    .push_bind(target.reason.as_ref().map(|reason| reason.text.as_str()))
                    .push_bind(target.exit_code)
                    .push_bind(target.stopping)
                    .push_bind(target.open)
                    .push_bind(integer(target.listed_rev))
                    .push_bind(target.admitted_at.map(ms))
                    .push_bind(target.started_at.map(ms))
                    .push_bind(target.ended_at.map(ms));
            });
            insert.push(" ON CONFLICT DO NOTHING");
            insert
                .build()
                .execute(self)
                .await
                .map_err(failed("insert targets"))?;
        }
        Ok(())
    }

    /// Writes the counters of execs, and when they ended.
    ///
    /// # Errors
    /// [`StoreError`] when they are not stored.
    pub async fn execs_update(&mut self, execs: &[ExecRow]) -> Result<(), StoreError> {
        for execs in execs.chunks(ROWS_PER_STATEMENT) {
            let ended = ENDED_COLUMNS.join(", ");
            let mut update = QueryBuilder::new(format!(
                "WITH v (exec_id, joins_until, ended_at, n_targets, n_pending, n_admitted, \
                 n_running, {ended}) AS ("
            ));
            update.push_values(execs, |mut row, exec| {
                row.push_bind(exec_bytes(exec.exec_id))
                    .push_bind(exec.joins_until.map(ms))
                    .push_bind(exec.ended_at.map(ms))
                    .push_bind(exec.tally.targets)
                    .push_bind(exec.tally.pending)
                    .push_bind(exec.tally.admitted)
                    .push_bind(exec.tally.running);
                for n in exec.tally.ended {
                    row.push_bind(n);
                }
            });
            update.push(
                ") UPDATE execs SET joins_until = v.joins_until, ended_at = v.ended_at,
                     n_targets = v.n_targets, n_pending = v.n_pending,
                     n_admitted = v.n_admitted, n_running = v.n_running",
            );
            for column in ENDED_COLUMNS {
                update.push(format_args!(", {column} = v.{column}"));
            }
            update.push(" FROM v WHERE execs.exec_id = v.exec_id");
            update
                .build()
                .execute(self)
                .await
                .map_err(failed("change the counters of execs"))?;
        }
        Ok(())
    }
}

pub(super) fn target_row(row: &Row) -> Result<TargetRow, StoreError> {
    let code: Option<String> = row.get("reason_code");
    let text: Option<String> = row.get("reason_text");
    let outcome: Option<String> = row.get("outcome");
    Ok(TargetRow {
        exec_id: convert::exec_id(row.get("exec_id"))?,
        pc_id: convert::name("targets.pc_id", row.get("pc_id"))?,
        attempt: Attempt(count(row.get("attempt"))),
        request_id: convert::request_id(row.get("request_id"))?,
        newest: row.get("newest"),
        wide: row.get("wide"),
        state: convert::target_state(row.get("state"))?,
        outcome: outcome.as_deref().map(convert::outcome),
        provisional: row.get("provisional"),
        reason: code.map(|code| Reason {
            code,
            text: text.unwrap_or_default(),
        }),
        exit_code: row.get("exit_code"),
        stopping: row.get("stopping"),
        open: row.get("open"),
        listed_rev: count(row.get("listed_rev")),
        admitted_at: row.get::<Option<i64>, _>("admitted_at").map(time),
        started_at: row.get::<Option<i64>, _>("started_at").map(time),
        ended_at: row.get::<Option<i64>, _>("ended_at").map(time),
    })
}

fn exec_row(row: &Row) -> Result<ExecRow, StoreError> {
    let job_id: Option<String> = row.get("job_id");
    let stop: Option<String> = row.get("stop");
    let mut ended = [0; Outcome::ALL.len()];
    for (n, column) in ended.iter_mut().zip(ENDED_COLUMNS) {
        *n = row.get(column);
    }
    Ok(ExecRow {
        exec_id: convert::exec_id(row.get("exec_id"))?,
        job_id: job_id
            .map(|id| convert::name("execs.job_id", &id))
            .transpose()?,
        reach: convert::reach(row.get("reach"))?,
        issued_at: time(row.get("issued_at")),
        deadline: time(row.get("deadline")),
        stop: stop.as_deref().map(convert::stop).transpose()?,
        joins_until: row.get::<Option<i64>, _>("joins_until").map(time),
        ended_at: row.get::<Option<i64>, _>("ended_at").map(time),
        adopted: row.get("adopted"),
        tally: Tally {
            targets: row.get("n_targets"),
            pending: row.get("n_pending"),
            admitted: row.get("n_admitted"),
            running: row.get("n_running"),
            ended,
        },
    })
}

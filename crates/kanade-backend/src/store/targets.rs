//! Targets as pages show them, and the PCs that an exec may have as targets.

use chrono::{DateTime, Utc};
use kanade_shared::api::Count;
use kanade_shared::api::execs::TargetQuery;
use kanade_shared::id::{ExecId, GroupId, PcId, RequestId};

use super::convert::{exec_bytes, integer, name, request_bytes, time};
use super::intake::{TargetRow, target_row};
use super::page::{Slice, count_of, counted};
use super::sql::{self, Conn, QueryBuilder, Row};
use super::{ROWS_PER_STATEMENT, Store, StoreError, Tx, failed};

/// A target with what is needed to say why it is as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetFacts {
    /// The target itself.
    pub target: TargetRow,
    /// Latest start of its attempt.
    pub deadline: Option<DateTime<Utc>>,
    /// When its attempt was issued.
    pub issued_at: Option<DateTime<Utc>>,
    /// Rev of `commands.all` that first listed its attempt; 0 while none did, or it is not there.
    pub command_listed_rev: u64,
    /// Whether the PC is online, and since when; absent for a PC that is unknown.
    pub presence: Option<(bool, DateTime<Utc>)>,
    /// Why the PC admits no commands.
    pub blocked: Option<String>,
}

const COLUMNS: &str = "t.exec_id, t.pc_id, t.attempt, t.request_id, t.newest, t.wide, t.state, \
     t.outcome, t.provisional, t.reason_code, t.reason_text, t.exit_code, t.stopping, t.open, \
     t.listed_rev, t.admitted_at, t.started_at, t.ended_at, c.deadline AS command_deadline, \
     c.issued_at AS command_issued_at, c.listed_rev AS command_listed_rev, p.online, \
     p.presence_since, p.blocked \
     FROM targets t \
     LEFT JOIN commands c ON c.exec_id = t.exec_id AND c.attempt = t.attempt \
     LEFT JOIN pcs p ON p.pc_id = t.pc_id";

impl Store {
    /// Newest targets of an exec that match, by PC, with how many there are.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn targets_list(
        &self,
        exec_id: ExecId,
        query: &TargetQuery,
        slice: &Slice<String>,
    ) -> Result<(Vec<TargetFacts>, Count), StoreError> {
        let mut conn = self.read().await?;
        let select = page_of(exec_id, query, slice);
        let rows = facts(&mut conn, select).await?;
        Ok((rows, counted(&mut conn, matching(exec_id, query)).await?))
    }

    /// The targets with these request ids.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn targets_facts(&self, ids: &[RequestId]) -> Result<Vec<TargetFacts>, StoreError> {
        let mut conn = self.read().await?;
        let mut targets = Vec::with_capacity(ids.len());
        for ids in ids.chunks(ROWS_PER_STATEMENT) {
            let mut select = QueryBuilder::new(format!("SELECT {COLUMNS} WHERE t.request_id"));
            select.push_in(ids.iter().map(|id| request_bytes(*id)));
            targets.extend(facts(&mut conn, select).await?);
        }
        Ok(targets)
    }
}

impl Tx {
    /// All targets of an exec that are their PC's newest attempt, and all that may still change.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn targets_current(&mut self, exec_id: ExecId) -> Result<Vec<TargetRow>, StoreError> {
        let rows = sql::query(
            "SELECT exec_id, pc_id, attempt, request_id, newest, wide, state, outcome,
               provisional, reason_code, reason_text, exit_code, stopping, open, listed_rev,
               admitted_at, started_at, ended_at
             FROM targets WHERE exec_id = $1 AND (newest = 1 OR open = 1) ORDER BY pc_id",
        )
        .bind(exec_bytes(exec_id))
        .fetch_all(self)
        .await
        .map_err(failed("read the targets of an exec"))?;
        rows.iter().map(target_row).collect()
    }

    /// Every PC, by id.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn pcs_all(&mut self) -> Result<Vec<PcId>, StoreError> {
        let names: Vec<String> = sql::query_scalar("SELECT pc_id FROM pcs ORDER BY pc_id")
            .fetch_all(self)
            .await
            .map_err(failed("list PCs"))?;
        names.iter().map(|one| name("pcs.pc_id", one)).collect()
    }

    /// Which of these PCs are enrolled.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn pcs_existing(&mut self, pcs: &[PcId]) -> Result<Vec<PcId>, StoreError> {
        let mut existing = Vec::with_capacity(pcs.len());
        for pcs in pcs.chunks(ROWS_PER_STATEMENT) {
            let mut select = QueryBuilder::new("SELECT pc_id FROM pcs WHERE pc_id");
            select.push_in(pcs.iter().map(|pc_id| pc_id.as_str()));
            let names: Vec<String> = select
                .build_query_scalar()
                .fetch_all(self)
                .await
                .map_err(failed("look for PCs"))?;
            for one in names {
                existing.push(name("pcs.pc_id", &one)?);
            }
        }
        Ok(existing)
    }

    /// Enrolled members of these groups.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn members_enrolled(
        &mut self,
        groups: &[GroupId],
    ) -> Result<Vec<(GroupId, PcId)>, StoreError> {
        let mut members = Vec::new();
        for groups in groups.chunks(ROWS_PER_STATEMENT) {
            let mut select = QueryBuilder::new(
                "SELECT m.group_id, m.pc_id FROM group_members m
                 JOIN pcs p ON p.pc_id = m.pc_id WHERE m.group_id",
            );
            select.push_in(groups.iter().map(|group| group.as_str()));
            let rows = select
                .build()
                .fetch_all(self)
                .await
                .map_err(failed("read the members of groups"))?;
            for row in rows {
                let group_id = name("group_members.group_id", row.get("group_id"))?;
                members.push((group_id, name("group_members.pc_id", row.get("pc_id"))?));
            }
        }
        Ok(members)
    }

    /// Draws an attempt's number: above every one before it, and near the unix time in
    /// milliseconds, so that a database that was put back does not draw one again.
    ///
    /// # Errors
    /// [`StoreError`] when it is not stored.
    pub async fn attempt_draw(&mut self) -> Result<u64, StoreError> {
        let last: u64 = self
            .meta("attempt_no")
            .await?
            .and_then(|text| text.parse().ok())
            .unwrap_or(1);
        let clock = u64::try_from(self.now().timestamp_millis()).unwrap_or(0);
        let drawn = clock.max(last + 1);
        self.set_meta("attempt_no", &integer(drawn).to_string())
            .await?;
        Ok(drawn)
    }
}

pub(super) fn page_of(exec_id: ExecId, query: &TargetQuery, slice: &Slice<String>) -> QueryBuilder {
    let mut select = QueryBuilder::new(format!("SELECT {COLUMNS} WHERE 1 = 1"));
    filter(&mut select, exec_id, query);
    select
        .push(" AND t.pc_id > ")
        .push_bind(slice.after.clone().unwrap_or_default());
    select
        .push(" ORDER BY t.pc_id LIMIT ")
        .push_bind(slice.rows());
    select
}

pub(super) fn matching(exec_id: ExecId, query: &TargetQuery) -> QueryBuilder {
    let mut select = count_of("targets t");
    filter(&mut select, exec_id, query);
    select
}

fn filter(select: &mut QueryBuilder, exec_id: ExecId, query: &TargetQuery) {
    select
        .push(" AND t.newest = 1 AND t.exec_id = ")
        .push_bind(exec_bytes(exec_id));
    if let Some(state) = query.state {
        select.push(" AND t.state = ").push_bind(state.as_str());
    }
    if let Some(outcome) = query.outcome {
        select.push(" AND t.outcome = ").push_bind(outcome.as_str());
    }
}

async fn facts(conn: &mut Conn, mut select: QueryBuilder) -> Result<Vec<TargetFacts>, StoreError> {
    let rows = select
        .build()
        .fetch_all(conn)
        .await
        .map_err(failed("list targets"))?;
    rows.iter().map(target_facts).collect()
}

fn target_facts(row: &Row) -> Result<TargetFacts, StoreError> {
    let online: Option<bool> = row.get("online");
    let since: Option<i64> = row.get("presence_since");
    Ok(TargetFacts {
        target: target_row(row)?,
        deadline: row.get::<Option<i64>, _>("command_deadline").map(time),
        issued_at: row.get::<Option<i64>, _>("command_issued_at").map(time),
        command_listed_rev: super::convert::count(
            row.get::<Option<i64>, _>("command_listed_rev").unwrap_or(0),
        ),
        presence: online.zip(since.map(time)),
        blocked: row.get("blocked"),
    })
}

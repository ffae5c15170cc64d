//! PCs as their heartbeats and connections tell of them, many rows at a time.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use kanade_shared::id::{JournalId, PcId, RequestId};
use kanade_shared::subject::Scope;
use kanade_shared::wire::heartbeat::{AgentState, Heartbeat};
use kanade_shared::wire::inventory::Hardware;

use super::convert::{self, count, integer, journal_bytes, ms, time};
use super::intake::TargetRow;
use super::sql::{self, QueryBuilder};
use super::{ROWS_PER_STATEMENT, Store, StoreError, Tx, failed};

/// What the database has of a PC before its heartbeat is taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownPc {
    /// When it became part of the fleet.
    pub enrolled_at: DateTime<Utc>,
    /// Whether it is online.
    pub online: bool,
    /// What it last said of itself, as far as people see it.
    pub said: Said,
}

/// What people see of a heartbeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Connecting, syncing or live.
    pub state: Option<AgentState>,
    /// Version of the agent.
    pub agent_version: Option<String>,
    /// Why it admits nothing.
    pub blocked: Option<String>,
    /// Runs in progress.
    pub running: i64,
    /// Results that wait to be sent.
    pub outbox_results: i64,
}

impl Said {
    /// Of this heartbeat.
    #[must_use]
    pub fn of(heartbeat: &Heartbeat) -> Self {
        Self {
            state: Some(heartbeat.state),
            agent_version: Some(heartbeat.agent_version.clone()),
            blocked: heartbeat.blocked.clone(),
            running: heartbeat.running.into(),
            outbox_results: integer(heartbeat.outbox_results),
        }
    }
}

/// What the backend heard of a PC's journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownJournal {
    /// Its birth mark.
    pub journal_id: Option<JournalId>,
    /// Its highest counter.
    pub counter: u64,
}

impl Store {
    /// What was heard of a PC's journal; `None` for a PC that is not known.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn journal_find(&self, pc_id: &PcId) -> Result<Option<KnownJournal>, StoreError> {
        let row = sql::query("SELECT journal_id, journal_counter FROM pcs WHERE pc_id = $1")
            .bind(pc_id.as_str())
            .fetch_optional(&mut *self.read().await?)
            .await
            .map_err(failed("read a PC's journal"))?;
        row.map(|row| {
            let id: Option<Vec<u8>> = row.get("journal_id");
            Ok(KnownJournal {
                journal_id: id.as_deref().map(convert::journal_id).transpose()?,
                counter: count(row.get("journal_counter")),
            })
        })
        .transpose()
    }

    /// PCs that are online by the database, but were not heard of since `before`.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn pcs_silent(&self, before: DateTime<Utc>) -> Result<Vec<PcId>, StoreError> {
        let names: Vec<String> = sql::query_scalar(
            "SELECT pc_id FROM pcs WHERE online = 1 AND COALESCE(heartbeat_at, 0) < $1
               AND presence_since < $1",
        )
        .bind(ms(before))
        .fetch_all(&mut *self.read().await?)
        .await
        .map_err(failed("list silent PCs"))?;
        let name = |name: &String| convert::name("pcs.pc_id", name);
        names.iter().map(name).collect()
    }

    /// Which of these runs is a target of this PC, and how far.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn targets_heard(
        &self,
        pc_id: &PcId,
        ids: &[RequestId],
    ) -> Result<HashMap<RequestId, HeardTarget>, StoreError> {
        let mut heard = HashMap::with_capacity(ids.len());
        let mut conn = self.read().await?;
        for ids in ids.chunks(ROWS_PER_STATEMENT) {
            let mut select = QueryBuilder::new(
                "SELECT t.request_id, t.exec_id, t.provisional, t.outcome, t.admitted_at,
                 t.started_at, p.enrolled_at
                 FROM targets t JOIN pcs p ON p.pc_id = t.pc_id WHERE t.pc_id = ",
            );
            select.push_bind(pc_id.as_str());
            select.push(" AND t.request_id");
            select.push_in(ids.iter().map(|id| convert::request_bytes(*id)));
            let rows = select
                .build()
                .fetch_all(&mut conn)
                .await
                .map_err(failed("read targets"))?;
            for row in rows {
                let outcome: Option<String> = row.get("outcome");
                let provisional: bool = row.get("provisional");
                let exec_id = convert::exec_id(row.get("exec_id"))?;
                let target = HeardTarget {
                    issued_at: exec_id.issued_at(),
                    enrolled_at: convert::time(row.get("enrolled_at")),
                    ended: outcome.is_some() && !provisional,
                    begun: row.get::<Option<i64>, _>("admitted_at").is_some()
                        || row.get::<Option<i64>, _>("started_at").is_some(),
                };
                heard.insert(convert::request_id(row.get("request_id"))?, target);
            }
        }
        Ok(heard)
    }
}

/// How far a run was heard to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeardTarget {
    /// When its exec was issued, as far as the exec's id tells.
    pub issued_at: Option<DateTime<Utc>>,
    /// When its PC became part of the fleet.
    pub enrolled_at: DateTime<Utc>,
    /// It has a result of the agent.
    pub ended: bool,
    /// It was admitted or started.
    pub begun: bool,
}

impl Tx {
    /// What is known of these PCs.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn pcs_known(&mut self, pcs: &[PcId]) -> Result<HashMap<PcId, KnownPc>, StoreError> {
        let mut known = HashMap::with_capacity(pcs.len());
        for pcs in pcs.chunks(ROWS_PER_STATEMENT) {
            let mut select = QueryBuilder::new(
                "SELECT pc_id, enrolled_at, online, state, agent_version, blocked, running,
                   outbox_results FROM pcs WHERE pc_id",
            );
            select.push_in(pcs.iter().map(PcId::as_str));
            let rows = select
                .build()
                .fetch_all(self)
                .await
                .map_err(failed("read PCs"))?;
            for row in rows {
                let state: Option<String> = row.get("state");
                let pc = KnownPc {
                    enrolled_at: time(row.get("enrolled_at")),
                    online: row.get("online"),
                    said: Said {
                        state: state.as_deref().map(convert::agent_state),
                        agent_version: row.get("agent_version"),
                        blocked: row.get("blocked"),
                        running: row.get("running"),
                        outbox_results: row.get("outbox_results"),
                    },
                };
                known.insert(convert::name("pcs.pc_id", row.get("pc_id"))?, pc);
            }
        }
        Ok(known)
    }

    /// Inserts PCs that became part of the fleet now, each with its audit row.
    ///
    /// # Errors
    /// [`StoreError`] when they are not stored.
    pub async fn pcs_enrol(&mut self, pcs: &[PcId]) -> Result<(), StoreError> {
        let now = ms(self.now());
        for pcs in pcs.chunks(ROWS_PER_STATEMENT) {
            let mut insert =
                QueryBuilder::new("INSERT INTO pcs (pc_id, enrolled_at, presence_since) ");
            insert.push_values(pcs, |mut row, pc_id| {
                row.push_bind(pc_id.as_str()).push_bind(now).push_bind(now);
            });
            insert
                .build()
                .execute(self)
                .await
                .map_err(failed("enrol PCs"))?;
            let mut audit = QueryBuilder::new(
                "INSERT INTO audit (audit_id, at, actor, action, object, detail) ",
            );
            audit.push_values(pcs, |mut row, pc_id| {
                row.push_bind(uuid::Uuid::now_v7().as_bytes().to_vec())
                    .push_bind(now)
                    .push_bind("system")
                    .push_bind("pc.enrol")
                    .push_bind(pc_id.as_str())
                    .push_bind("{}");
            });
            audit
                .build()
                .execute(self)
                .await
                .map_err(failed("enrol PCs"))?;
        }
        Ok(())
    }

    /// Writes what PCs say of themselves; all of them are there.
    ///
    /// # Errors
    /// [`StoreError`] when it is not stored.
    pub async fn pcs_heard(&mut self, heartbeats: &[Heartbeat]) -> Result<(), StoreError> {
        let now = ms(self.now());
        for heartbeats in heartbeats.chunks(ROWS_PER_STATEMENT) {
            let mut update = QueryBuilder::new(
                "WITH v (pc_id, state, agent_version, capabilities, host_name, os_family,
                   journal_id, journal_counter, held_all_rev, held_pc_rev, clock_skew_ms, blocked,
                   running, outbox_results, outbox_bytes, agent_rss_bytes, booted_at) AS (",
            );
            update.push_values(heartbeats, |mut row, heartbeat| {
                let own = Scope::Pc(heartbeat.pc_id.clone());
                let held = |scope: &Scope| {
                    let held = heartbeat.held.iter().find(|held| held.scope == *scope);
                    held.map_or(0, |held| integer(held.rev.0))
                };
                let capabilities = serde_json::to_string(&heartbeat.capabilities);
                row.push_bind(heartbeat.pc_id.as_str())
                    .push_bind(convert::agent_state_word(heartbeat.state))
                    .push_bind(heartbeat.agent_version.as_str())
                    .push_bind(capabilities.unwrap_or_else(|_| "[]".into()))
                    .push_bind(heartbeat.host_name.as_deref())
                    .push_bind(heartbeat.os_family.as_deref())
                    .push_bind(journal_bytes(heartbeat.journal_id))
                    .push_bind(integer(heartbeat.journal_counter))
                    .push_bind(held(&Scope::All))
                    .push_bind(held(&own))
                    .push_bind(heartbeat.clock_skew_ms)
                    .push_bind(heartbeat.blocked.as_deref())
                    .push_bind(heartbeat.running)
                    .push_bind(integer(heartbeat.outbox_results))
                    .push_bind(integer(heartbeat.outbox_bytes))
                    .push_bind(heartbeat.agent_rss_bytes.map(integer))
                    .push_bind(heartbeat.booted_at.map(ms));
            });
            update.push(") UPDATE pcs SET heartbeat_at = ");
            update.push_bind(now);
            update.push(
                ", state = v.state, agent_version = v.agent_version,
                   capabilities = v.capabilities,
                   host_name = COALESCE(v.host_name, pcs.host_name),
                   os_family = COALESCE(v.os_family, pcs.os_family),
                   journal_counter = CASE WHEN pcs.journal_id = v.journal_id
                       AND pcs.journal_counter > v.journal_counter
                     THEN pcs.journal_counter ELSE v.journal_counter END,
                   journal_id = v.journal_id, held_all_rev = v.held_all_rev,
                   held_pc_rev = v.held_pc_rev, clock_skew_ms = v.clock_skew_ms,
                   blocked = v.blocked, running = v.running,
                   outbox_results = v.outbox_results, outbox_bytes = v.outbox_bytes,
                   agent_rss_bytes = v.agent_rss_bytes, booted_at = v.booted_at
                 FROM v WHERE pcs.pc_id = v.pc_id",
            );
            update
                .build()
                .execute(self)
                .await
                .map_err(failed("take in heartbeats"))?;
        }
        Ok(())
    }

    /// Notes that PCs are online or offline from now on; those that were so stay as they are.
    /// Says which changed.
    ///
    /// # Errors
    /// [`StoreError`] when it is not stored.
    pub async fn pcs_presence(
        &mut self,
        pcs: &[PcId],
        online: bool,
    ) -> Result<Vec<PcId>, StoreError> {
        let now = ms(self.now());
        let mut changed = Vec::new();
        for pcs in pcs.chunks(ROWS_PER_STATEMENT) {
            let mut update = QueryBuilder::new("UPDATE pcs SET presence_since = ");
            update.push_bind(now);
            update.push(", online = ");
            update.push_bind(online);
            update.push(" WHERE online <> ");
            update.push_bind(online);
            update.push(" AND pc_id");
            update.push_in(pcs.iter().map(PcId::as_str));
            update.push(" RETURNING pc_id");
            let names: Vec<String> = update
                .build_query_scalar()
                .fetch_all(self)
                .await
                .map_err(failed("note who is online"))?;
            for name in names {
                changed.push(convert::name("pcs.pc_id", &name)?);
            }
        }
        Ok(changed)
    }

    /// Targets of these PCs that nothing was heard of and whose deadline has not passed, each with
    /// the rev of the document that first listed it (0 while none did). A document that was made
    /// after the deadline lists a command no more, so a higher rev is no proof any longer; until
    /// then, by the same clock, it is.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn targets_pending(
        &mut self,
        pcs: &[PcId],
    ) -> Result<Vec<(TargetRow, u64)>, StoreError> {
        let now = ms(self.now());
        let mut pending = Vec::new();
        for pcs in pcs.chunks(ROWS_PER_STATEMENT) {
            let mut select = QueryBuilder::new(
                "SELECT t.exec_id, t.pc_id, t.attempt, t.request_id, t.newest, t.wide, t.state,
                   t.outcome, t.provisional, t.reason_code, t.reason_text, t.exit_code,
                   t.stopping, t.open, t.admitted_at, t.started_at, t.ended_at,
                   CASE WHEN t.wide = 1 THEN c.listed_rev ELSE t.listed_rev END AS listed_rev
                 FROM targets t JOIN commands c
                   ON c.exec_id = t.exec_id AND c.attempt = t.attempt
                 WHERE t.open = 1 AND t.state = 'pending' AND c.deadline > ",
            );
            select.push_bind(now);
            select.push(" AND t.pc_id");
            select.push_in(pcs.iter().map(PcId::as_str));
            let targets = self.targets_of(select).await?;
            pending.extend(targets.into_iter().map(|target| {
                let listed = target.listed_rev;
                (target, listed)
            }));
        }
        Ok(pending)
    }

    /// Writes the hardware of PCs; of those that are not known yet, nothing.
    ///
    /// # Errors
    /// [`StoreError`] when it is not stored.
    pub async fn pcs_hardware(&mut self, hardware: &[Hardware]) -> Result<(), StoreError> {
        let mut rows = Vec::with_capacity(hardware.len());
        for one in hardware {
            rows.push((one, convert::to_json("pcs.hardware", one)?));
        }
        for rows in rows.chunks(ROWS_PER_STATEMENT) {
            let mut update = QueryBuilder::new(
                "WITH v (pc_id, host_name, os_family, os, hardware, hardware_at) AS (",
            );
            update.push_values(rows, |mut row, (one, json)| {
                row.push_bind(one.pc_id.as_str())
                    .push_bind(one.host_name.as_str())
                    .push_bind(one.os_family.as_str())
                    .push_bind(system_name(one))
                    .push_bind(json.as_str())
                    .push_bind(ms(one.collected_at));
            });
            update.push(
                ") UPDATE pcs SET host_name = v.host_name, os_family = v.os_family, os = v.os,
                     hardware = v.hardware, hardware_at = v.hardware_at
                   FROM v WHERE pcs.pc_id = v.pc_id",
            );
            update
                .build()
                .execute(self)
                .await
                .map_err(failed("store hardware"))?;
        }
        Ok(())
    }
}

/// Such as `Debian GNU/Linux 12`.
fn system_name(hardware: &Hardware) -> Option<String> {
    match (&hardware.os_name, &hardware.os_version) {
        (Some(name), Some(version)) => Some(format!("{name} {version}")),
        (Some(name), None) => Some(name.clone()),
        (None, _) => None,
    }
}

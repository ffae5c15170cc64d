//! PCs and their agents, as lists and pages show them.

use std::collections::{BTreeMap, HashSet};

use kanade_shared::api::Count;
use kanade_shared::api::agents::{AgentQuery, AgentView, Presence};
use kanade_shared::id::{GroupId, PcId};

use super::convert::{agent_state, count, json, name, time};
use super::groups::containing;
use super::page::{Slice, count_of, counted};
use super::sql::{self, Conn, QueryBuilder, Row};
use super::{ROWS_PER_STATEMENT, Store, StoreError, Tx, failed};

const COLUMNS: &str = "pc_id, online, presence_since, enrolled_at, heartbeat_at, state, \
     agent_version, host_name, os_family, os, clock_skew_ms, blocked, running, outbox_results, \
     agent_rss_bytes, booted_at";

/// What a list of agents is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentSort {
    /// The id alone.
    PcId,
    /// Since when it is online or offline.
    Since,
    /// Its last heartbeat.
    HeartbeatAt,
}

impl AgentSort {
    /// The column before `pc_id` in the key; a PC that was never heard counts as the beginning
    /// of time.
    fn column(self) -> Option<&'static str> {
        match self {
            Self::PcId => None,
            Self::Since => Some("presence_since"),
            Self::HeartbeatAt => Some("COALESCE(heartbeat_at, 0)"),
        }
    }
}

/// Key of a row in a list of agents: the sorted column (0 where it is the id alone) and the id.
pub type AgentKey = (i64, String);

impl Store {
    /// Agents that match, with how many there are.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn agents_list(
        &self,
        query: &AgentQuery,
        sort: AgentSort,
        slice: &Slice<AgentKey>,
    ) -> Result<(Vec<AgentView>, Count), StoreError> {
        let mut conn = self.read().await?;
        let mut select = page_of(query, sort, slice);
        let rows = select
            .build()
            .fetch_all(&mut conn)
            .await
            .map_err(failed("list agents"))?;
        let mut agents = rows.iter().map(agent_view).collect::<Result<Vec<_>, _>>()?;
        add_groups(&mut conn, &mut agents).await?;
        Ok((agents, counted(&mut conn, matching(query)).await?))
    }

    /// One agent with its hardware.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn agent_find(&self, pc_id: &PcId) -> Result<Option<AgentView>, StoreError> {
        let mut conn = self.read().await?;
        let mut select = QueryBuilder::new(format!(
            "SELECT {COLUMNS}, hardware FROM pcs WHERE pc_id = "
        ));
        select.push_bind(pc_id.as_str());
        let row = select
            .build()
            .fetch_optional(&mut conn)
            .await
            .map_err(failed("read an agent"))?;
        let Some(row) = row else { return Ok(None) };
        let mut agents = vec![agent_view(&row)?];
        add_groups(&mut conn, &mut agents).await?;
        let hardware: Option<String> = row.get("hardware");
        if let Some((agent, hardware)) = agents.first_mut().zip(hardware) {
            agent.hardware = Some(json("pcs.hardware", &hardware)?);
        }
        Ok(agents.pop())
    }

    /// PCs, and PCs that are online.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn agents_count(&self) -> Result<(u64, u64), StoreError> {
        let row = sql::query(
            "SELECT count(*) AS n, COALESCE(sum(CASE WHEN online = 1 THEN 1 ELSE 0 END), 0) AS up
             FROM pcs",
        )
        .fetch_one(&mut *self.read().await?)
        .await
        .map_err(failed("count agents"))?;
        Ok((count(row.get("n")), count(row.get("up"))))
    }

    /// Names of all PCs, by name; for hints.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn agent_names(&self) -> Result<Vec<String>, StoreError> {
        sql::query_scalar("SELECT pc_id FROM pcs ORDER BY pc_id LIMIT 20000")
            .fetch_all(&mut *self.read().await?)
            .await
            .map_err(failed("list agents"))
    }
}

impl Tx {
    /// The PCs that are online.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn agents_online(&mut self) -> Result<HashSet<PcId>, StoreError> {
        let rows: Vec<String> = sql::query_scalar("SELECT pc_id FROM pcs WHERE online = 1")
            .fetch_all(self)
            .await
            .map_err(failed("read the agents that are online"))?;
        rows.iter().map(|pc_id| name("pc_id", pc_id)).collect()
    }
}

pub(super) fn page_of(
    query: &AgentQuery,
    sort: AgentSort,
    slice: &Slice<AgentKey>,
) -> QueryBuilder {
    let mut select = QueryBuilder::new(format!("SELECT {COLUMNS} FROM pcs WHERE 1 = 1"));
    filter(&mut select, query);
    after(&mut select, sort, slice);
    select
}

pub(super) fn matching(query: &AgentQuery) -> QueryBuilder {
    let mut select = count_of("pcs");
    filter(&mut select, query);
    select
}

fn filter(select: &mut QueryBuilder, query: &AgentQuery) {
    if let Some(presence) = query.presence {
        select
            .push(" AND online = ")
            .push_bind(presence == Presence::Online);
    }
    if let Some(group) = &query.group {
        select
            .push(" AND pc_id IN (SELECT m.pc_id FROM group_members m WHERE m.group_id = ")
            .push_bind(group.as_str())
            .push(")");
    }
    if let Some(family) = &query.os_family {
        select.push(" AND os_family = ").push_bind(family.clone());
    }
    containing(select, "pc_id", query.search.as_deref());
}

fn after(select: &mut QueryBuilder, sort: AgentSort, slice: &Slice<AgentKey>) {
    let (compare, word) = (slice.order.after(), slice.order.word());
    match (sort.column(), &slice.after) {
        (None, Some((_, pc_id))) => {
            select
                .push(format_args!(" AND pc_id {compare} "))
                .push_bind(pc_id.clone());
        }
        (Some(column), Some((at, pc_id))) => {
            select.push(format_args!(" AND ({column}, pc_id) {compare} ("));
            select
                .push_bind(*at)
                .push(", ")
                .push_bind(pc_id.clone())
                .push(")");
        }
        (_, None) => {}
    }
    select.push(" ORDER BY ");
    if let Some(column) = sort.column() {
        select.push(format_args!("{column} {word}, "));
    }
    select
        .push(format_args!("pc_id {word} LIMIT "))
        .push_bind(slice.rows());
}

/// One more statement for all rows of a page.
async fn add_groups(conn: &mut Conn, agents: &mut [AgentView]) -> Result<(), StoreError> {
    let mut groups: BTreeMap<PcId, Vec<GroupId>> = BTreeMap::new();
    for part in agents.chunks(ROWS_PER_STATEMENT) {
        let mut select = QueryBuilder::new("SELECT pc_id, group_id FROM group_members WHERE pc_id");
        select.push_in(part.iter().map(|agent| agent.pc_id.as_str()));
        select.push(" ORDER BY pc_id, group_id");
        let rows = select
            .build()
            .fetch_all(&mut *conn)
            .await
            .map_err(failed("read groups of agents"))?;
        for row in rows {
            let pc_id = name("group_members.pc_id", row.get("pc_id"))?;
            let group_id = name("group_members.group_id", row.get("group_id"))?;
            groups.entry(pc_id).or_default().push(group_id);
        }
    }
    for agent in agents {
        agent.groups = groups.remove(&agent.pc_id).unwrap_or_default();
    }
    Ok(())
}

fn agent_view(row: &Row) -> Result<AgentView, StoreError> {
    let presence = if row.get("online") {
        Presence::Online
    } else {
        Presence::Offline
    };
    let state: Option<String> = row.get("state");
    Ok(AgentView {
        pc_id: name("pcs.pc_id", row.get("pc_id"))?,
        presence,
        since: time(row.get("presence_since")),
        enrolled_at: time(row.get("enrolled_at")),
        heartbeat_at: row.get::<Option<i64>, _>("heartbeat_at").map(time),
        state: state.as_deref().map(agent_state),
        agent_version: row.get("agent_version"),
        host_name: row.get("host_name"),
        os_family: row.get("os_family"),
        os: row.get("os"),
        groups: Vec::new(),
        clock_skew_ms: row.get("clock_skew_ms"),
        blocked: row.get("blocked"),
        running: u32::try_from(row.get::<i64, _>("running")).unwrap_or(0),
        outbox_results: count(row.get("outbox_results")),
        agent_rss_bytes: row.get::<Option<i64>, _>("agent_rss_bytes").map(count),
        booted_at: row.get::<Option<i64>, _>("booted_at").map(time),
        hardware: None,
    })
}

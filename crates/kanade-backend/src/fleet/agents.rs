//! Agents, as operators read them.

use kanade_shared::api::Page;
use kanade_shared::api::agents::{AgentQuery, AgentView};
use kanade_shared::id::PcId;

use super::{Fleet, FleetError, FleetResult, page};
use crate::store::agents::{AgentKey, AgentSort};

impl Fleet {
    /// Agents, one page.
    ///
    /// # Errors
    /// [`FleetError::Invalid`] for a page, cursor or sort that there is not.
    pub async fn agents_list(&self, query: &AgentQuery) -> FleetResult<Page<AgentView>> {
        let fields = ["pc_id", "since", "heartbeat_at"];
        let asked = query.sort.as_deref().unwrap_or("pc_id");
        let (field, order) = page::sort(Some(asked), "pc_id", &fields)?;
        let by = match field {
            "since" => AgentSort::Since,
            "heartbeat_at" => AgentSort::HeartbeatAt,
            _ => AgentSort::PcId,
        };
        let slice = page::slice(query.limit, query.cursor.as_deref(), asked, order)?;
        let (agents, count) = self.store.agents_list(query, by, &slice).await?;
        let key = |agent: &AgentView| -> AgentKey {
            let at = match by {
                AgentSort::PcId => 0,
                AgentSort::Since => agent.since.timestamp_millis(),
                AgentSort::HeartbeatAt => agent.heartbeat_at.map_or(0, |at| at.timestamp_millis()),
            };
            (at, agent.pc_id.to_string())
        };
        Ok(page::page(agents, count, slice.limit, asked, key))
    }

    /// One agent with its hardware.
    ///
    /// # Errors
    /// [`FleetError::UnknownPc`] when there is none.
    pub async fn agent_fetch(&self, pc_id: &PcId) -> FleetResult<AgentView> {
        if let Some(agent) = self.store.agent_find(pc_id).await? {
            return Ok(agent);
        }
        let names = self.store.agent_names().await?;
        let nearest = page::nearest(pc_id.as_str(), names.iter().map(String::as_str));
        let nearest = nearest.and_then(|name| name.parse().ok());
        Err(FleetError::UnknownPc {
            pc_id: pc_id.clone(),
            nearest,
            field: None,
        })
    }
}

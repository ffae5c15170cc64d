//! What one PC still has to do.

use std::collections::HashMap;

use kanade_shared::api::queue::{QUEUE_MAX, QueuedView};
use kanade_shared::id::PcId;

use super::{Fleet, FleetResult};

impl Fleet {
    /// What this PC has not ended, oldest exec first.
    ///
    /// # Errors
    /// [`FleetError::UnknownPc`](super::FleetError::UnknownPc) when there is no such PC.
    pub async fn agent_queue(&self, pc_id: &PcId) -> FleetResult<Vec<QueuedView>> {
        self.agent_fetch(pc_id).await?;
        let rows = self.store.queue_of(pc_id, QUEUE_MAX).await?;
        let runs: Vec<_> = rows.iter().map(|row| row.request_id).collect();
        let targets = self.targets_views(&runs).await?.into_iter();
        let mut targets: HashMap<_, _> = targets
            .map(|(_, target)| (target.request_id, target))
            .collect();
        let queued = rows.into_iter().filter_map(|row| {
            // One that is gone has ended between the two reads.
            let target = targets.remove(&row.request_id)?;
            Some(QueuedView {
                exec_id: row.exec_id,
                job_id: row.job_id,
                title: row.title,
                issued_by: row.issued_by,
                issued_at: row.issued_at,
                deadline: row.deadline,
                target,
            })
        });
        Ok(queued.collect())
    }
}

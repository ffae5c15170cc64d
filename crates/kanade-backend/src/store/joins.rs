//! Open execs whose PCs the backend itself has to find: those that are not in `commands.all`.

use chrono::{DateTime, Utc};
use kanade_shared::api::execs::Targets;
use kanade_shared::id::ExecId;

use super::convert::{self, ms};
use super::sql;
use super::{Store, StoreError, failed};

/// An open exec in PCs' own documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenExec {
    /// The exec.
    pub exec_id: ExecId,
    /// Whom its operator named.
    pub targets: Targets,
}

impl Store {
    /// Open execs that PCs may still join and that are in PCs' own documents.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn execs_open(&self, now: DateTime<Utc>) -> Result<Vec<OpenExec>, StoreError> {
        let mut conn = self.read().await?;
        let rows = sql::query(
            "SELECT e.exec_id, d.targets
             FROM execs e
             JOIN exec_details d ON d.exec_id = e.exec_id
             JOIN commands c ON c.exec_id = e.exec_id AND c.attempt = 1
             WHERE e.joins_until IS NOT NULL AND e.joins_until > $1
               AND c.wide = 0 AND c.stop IS NULL",
        )
        .bind(ms(now))
        .fetch_all(&mut conn)
        .await
        .map_err(failed("list open execs"))?;
        rows.into_iter()
            .map(|row| {
                Ok(OpenExec {
                    exec_id: convert::exec_id(row.get("exec_id"))?,
                    targets: convert::json("targets", row.get("targets"))?,
                })
            })
            .collect()
    }
}

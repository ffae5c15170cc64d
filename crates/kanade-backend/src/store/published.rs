//! What the publisher copies to the broker beside commands: desired documents, definitions, audit.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use kanade_shared::api::system::AuditRow;
use kanade_shared::id::{GroupId, JobId, PcId};

use super::convert::{self, count, integer, ms, time};
use super::sql::{self, QueryBuilder};
use super::{ROWS_PER_STATEMENT, Store, StoreError, Tx, failed};

/// What a PC's desired document is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredRow {
    /// The PC.
    pub pc_id: PcId,
    /// When it became part of the fleet.
    pub enrolled_at: DateTime<Utc>,
    /// Its groups, sorted.
    pub groups: Vec<GroupId>,
    /// Highest rev that was reserved for it.
    pub rev: u64,
    /// Hash of what was published last; absent: something else, or nothing.
    pub hash: Option<Vec<u8>>,
}

/// A job as its copies on the broker have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobCopy {
    /// Its name.
    pub job_id: JobId,
    /// Its version.
    pub version: String,
    /// Its definition, JSON.
    pub definition: String,
    /// The operator's text.
    pub yaml: String,
}

/// Changes whenever a definition of its kind does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fingerprint(i64, i64, i64);

/// A copy that has to go: its kind and key.
pub type Drop = (String, String);

impl Store {
    /// Whether groups are as they were.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn groups_fingerprint(&self) -> Result<Fingerprint, StoreError> {
        self.fingerprint(
            "SELECT COUNT(*), CAST(COALESCE(SUM(revision), 0) AS BIGINT),
               COALESCE(MAX(updated_at), 0) FROM groups",
        )
        .await
    }

    /// Whether jobs are as they were.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn jobs_fingerprint(&self) -> Result<Fingerprint, StoreError> {
        self.fingerprint(
            "SELECT COUNT(*), CAST(COALESCE(SUM(revision), 0) AS BIGINT),
               COALESCE(MAX(updated_at), 0) FROM jobs",
        )
        .await
    }

    async fn fingerprint(&self, select: &'static str) -> Result<Fingerprint, StoreError> {
        let row = sql::query(select)
            .fetch_one(&mut *self.read().await?)
            .await
            .map_err(failed("look for changed definitions"))?;
        Ok(Fingerprint(row.get(0), row.get(1), row.get(2)))
    }

    /// PCs that have no desired document yet.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn pcs_undesired(&self) -> Result<Vec<PcId>, StoreError> {
        let names: Vec<String> = sql::query_scalar("SELECT pc_id FROM pcs WHERE desired_rev = 0")
            .fetch_all(&mut *self.read().await?)
            .await
            .map_err(failed("list new PCs"))?;
        let name = |name: &String| convert::name("pcs.pc_id", name);
        names.iter().map(name).collect()
    }

    /// What desired documents are made of, of these PCs or of all.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn desired_list(&self, pcs: Option<&[PcId]>) -> Result<Vec<DesiredRow>, StoreError> {
        let Some(pcs) = pcs else {
            return self.desired_chunk(None).await;
        };
        let mut rows = Vec::with_capacity(pcs.len());
        for pcs in pcs.chunks(ROWS_PER_STATEMENT) {
            rows.extend(self.desired_chunk(Some(pcs)).await?);
        }
        Ok(rows)
    }

    async fn desired_chunk(&self, pcs: Option<&[PcId]>) -> Result<Vec<DesiredRow>, StoreError> {
        let mut select =
            QueryBuilder::new("SELECT pc_id, enrolled_at, desired_rev, desired_hash FROM pcs");
        let mut members = QueryBuilder::new("SELECT pc_id, group_id FROM group_members");
        if let Some(pcs) = pcs {
            for select in [&mut select, &mut members] {
                select.push(" WHERE pc_id");
                select.push_in(pcs.iter().map(PcId::as_str));
            }
        }
        let mut conn = self.read().await?;
        let mut groups: HashMap<String, Vec<GroupId>> = HashMap::new();
        members.push(" ORDER BY group_id");
        let rows = members.build().fetch_all(&mut conn).await;
        for row in rows.map_err(failed("list members of groups"))? {
            let group = convert::name("group_members.group_id", row.get("group_id"))?;
            groups.entry(row.get("pc_id")).or_default().push(group);
        }
        let rows = select.build().fetch_all(&mut conn).await;
        rows.map_err(failed("list PCs"))?
            .iter()
            .map(|row| {
                let name: String = row.get("pc_id");
                Ok(DesiredRow {
                    pc_id: convert::name("pcs.pc_id", &name)?,
                    enrolled_at: time(row.get("enrolled_at")),
                    groups: groups.remove(&name).unwrap_or_default(),
                    rev: count(row.get("desired_rev")),
                    hash: row.get("desired_hash"),
                })
            })
            .collect()
    }

    /// Every job with what its copies hold.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn job_copies(&self) -> Result<BTreeMap<JobId, JobCopy>, StoreError> {
        let rows = sql::query("SELECT job_id, version, definition, yaml FROM jobs")
            .fetch_all(&mut *self.read().await?)
            .await
            .map_err(failed("list jobs"))?;
        rows.iter()
            .map(|row| {
                let job_id: JobId = convert::name("jobs.job_id", row.get("job_id"))?;
                let copy = JobCopy {
                    job_id: job_id.clone(),
                    version: row.get("version"),
                    definition: row.get("definition"),
                    yaml: row.get("yaml"),
                };
                Ok((job_id, copy))
            })
            .collect()
    }

    /// Copies that have to go.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn drops_list(&self) -> Result<Vec<Drop>, StoreError> {
        let rows = sql::query("SELECT kind, key FROM drops")
            .fetch_all(&mut *self.read().await?)
            .await
            .map_err(failed("list copies that have to go"))?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    /// Audit rows that the broker does not have yet, oldest first, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn audit_unpublished(
        &self,
        limit: u32,
    ) -> Result<Vec<(Vec<u8>, AuditRow)>, StoreError> {
        let rows = sql::query(
            "SELECT audit_id, at, actor, action, object, detail FROM audit
             WHERE published = 0 ORDER BY audit_id LIMIT $1",
        )
        .bind(limit)
        .fetch_all(&mut *self.read().await?)
        .await
        .map_err(failed("list audit rows"))?;
        rows.iter()
            .map(|row| {
                let id: Vec<u8> = row.get("audit_id");
                let row = AuditRow {
                    audit_id: hex::encode(&id),
                    at: time(row.get("at")),
                    actor: row.get("actor"),
                    action: row.get("action"),
                    object: row.get("object"),
                    detail: convert::json("audit.detail", row.get("detail"))?,
                };
                Ok((id, row))
            })
            .collect()
    }
}

impl Tx {
    /// Reserves revs of desired documents, and forgets what was published before.
    ///
    /// # Errors
    /// [`StoreError`] when they are not stored.
    pub async fn desired_reserve(&mut self, revs: &[(PcId, u64)]) -> Result<(), StoreError> {
        for revs in revs.chunks(ROWS_PER_STATEMENT) {
            let mut update = QueryBuilder::new("WITH v (pc_id, rev) AS (");
            update.push_values(revs, |mut row, (pc_id, rev)| {
                row.push_bind(pc_id.as_str()).push_bind(integer(*rev));
            });
            update.push(
                ") UPDATE pcs SET desired_rev = v.rev, desired_hash = NULL FROM v
                   WHERE pcs.pc_id = v.pc_id",
            );
            update
                .build()
                .execute(self)
                .await
                .map_err(failed("reserve a rev"))?;
        }
        Ok(())
    }

    /// Notes what was published with these revs, unless another was reserved since.
    ///
    /// # Errors
    /// [`StoreError`] when it is not stored.
    pub async fn desired_published(
        &mut self,
        hashes: &[(PcId, u64, Vec<u8>)],
    ) -> Result<(), StoreError> {
        for hashes in hashes.chunks(ROWS_PER_STATEMENT) {
            let mut update = QueryBuilder::new("WITH v (pc_id, rev, hash) AS (");
            update.push_values(hashes, |mut row, (pc_id, rev, hash)| {
                row.push_bind(pc_id.as_str())
                    .push_bind(integer(*rev))
                    .push_bind(hash.as_slice());
            });
            update.push(
                ") UPDATE pcs SET desired_hash = v.hash FROM v
                   WHERE pcs.pc_id = v.pc_id AND pcs.desired_rev = v.rev",
            );
            update
                .build()
                .execute(self)
                .await
                .map_err(failed("note what was published"))?;
        }
        Ok(())
    }

    /// Inserts a job that only the broker has, as it is there; `false` when it is known.
    ///
    /// # Errors
    /// [`StoreError`] when it is not stored.
    pub async fn job_adopt(
        &mut self,
        copy: &JobCopy,
        description: Option<&str>,
    ) -> Result<bool, StoreError> {
        let inserted = sql::query(
            "INSERT INTO jobs (job_id, version, description, definition, yaml, revision,
               updated_by, updated_at) VALUES ($1, $2, $3, $4, $5, 1, 'unknown', $6)
             ON CONFLICT DO NOTHING",
        )
        .bind(copy.job_id.as_str())
        .bind(&copy.version)
        .bind(description)
        .bind(&copy.definition)
        .bind(&copy.yaml)
        .bind(ms(self.now()))
        .execute(self)
        .await
        .map_err(failed("adopt a job"))?;
        Ok(inserted.rows_affected() > 0)
    }

    /// Forgets that a copy has to go.
    ///
    /// # Errors
    /// [`StoreError`] when it is not stored.
    pub async fn drop_done(&mut self, drop: &Drop) -> Result<(), StoreError> {
        sql::query("DELETE FROM drops WHERE kind = $1 AND key = $2")
            .bind(&drop.0)
            .bind(&drop.1)
            .execute(self)
            .await
            .map_err(failed("note that a copy is gone"))?;
        Ok(())
    }

    /// Notes that the broker has these audit rows.
    ///
    /// # Errors
    /// [`StoreError`] when it is not stored.
    pub async fn audit_published(&mut self, ids: &[Vec<u8>]) -> Result<(), StoreError> {
        for ids in ids.chunks(ROWS_PER_STATEMENT) {
            let mut update = QueryBuilder::new("UPDATE audit SET published = 1 WHERE audit_id");
            update.push_in(ids.iter().map(|id| id.as_slice()));
            update
                .build()
                .execute(self)
                .await
                .map_err(failed("note that audit rows were copied"))?;
        }
        Ok(())
    }
}

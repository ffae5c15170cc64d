//! Groups and their members.

use kanade_shared::api::Count;
use kanade_shared::api::catalogue::{GroupView, GroupWrite};
use kanade_shared::id::{GroupId, PcId};

use super::convert::{count, integer, ms, name, time};
use super::page::{Slice, count_of, counted};
use super::sql::{self, Conn, QueryBuilder, Row};
use super::{ROWS_PER_STATEMENT, Store, StoreError, Tx, failed};

const COLUMNS: &str = "g.group_id, g.description, g.revision, g.updated_at, \
     (SELECT count(*) FROM group_members m WHERE m.group_id = g.group_id) AS member_count";

impl Store {
    /// Groups whose name contains `search`, by name, with how many there are.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn groups_list(
        &self,
        search: Option<&str>,
        slice: &Slice<String>,
    ) -> Result<(Vec<GroupView>, Count), StoreError> {
        let mut conn = self.read().await?;
        let mut select = QueryBuilder::new(format!(
            "SELECT {COLUMNS} FROM groups g WHERE g.group_id > "
        ));
        select.push_bind(slice.after.clone().unwrap_or_default());
        containing(&mut select, "g.group_id", search);
        select
            .push(" ORDER BY g.group_id LIMIT ")
            .push_bind(slice.rows());
        let rows = select
            .build()
            .fetch_all(&mut conn)
            .await
            .map_err(failed("list groups"))?;
        let rows = rows.iter().map(group_view).collect::<Result<_, _>>()?;
        let mut matching = count_of("groups");
        containing(&mut matching, "group_id", search);
        Ok((rows, counted(&mut conn, matching).await?))
    }

    /// One group with its members.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn group_find(&self, group_id: &GroupId) -> Result<Option<GroupView>, StoreError> {
        let mut conn = self.read().await?;
        group_find(&mut conn, group_id).await
    }
}

impl Tx {
    /// One group with its members.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn group_find(
        &mut self,
        group_id: &GroupId,
    ) -> Result<Option<GroupView>, StoreError> {
        group_find(self, group_id).await
    }

    /// Makes a group what is written, with this revision.
    ///
    /// # Errors
    /// [`StoreError`] when it is not stored.
    pub async fn group_write(
        &mut self,
        group_id: &GroupId,
        write: &GroupWrite,
        revision: u64,
    ) -> Result<(), StoreError> {
        let now = ms(self.now());
        sql::query(
            "INSERT INTO groups (group_id, description, revision, updated_at)
             VALUES ($1, $2, $3, $4)
             ON CONFLICT (group_id) DO UPDATE SET description = excluded.description,
               revision = excluded.revision, updated_at = excluded.updated_at",
        )
        .bind(group_id.as_str())
        .bind(write.description.as_deref())
        .bind(integer(revision))
        .bind(now)
        .execute(self)
        .await
        .map_err(failed("store a group"))?;
        sql::query("DELETE FROM group_members WHERE group_id = $1")
            .bind(group_id.as_str())
            .execute(self)
            .await
            .map_err(failed("store the members of a group"))?;
        for members in write.members.chunks(ROWS_PER_STATEMENT) {
            let mut insert = QueryBuilder::new("INSERT INTO group_members (group_id, pc_id) ");
            insert.push_values(members, |mut row, pc_id| {
                row.push_bind(group_id.as_str()).push_bind(pc_id.as_str());
            });
            insert.push(" ON CONFLICT DO NOTHING");
            insert
                .build()
                .execute(self)
                .await
                .map_err(failed("store the members of a group"))?;
        }
        sql::query("DELETE FROM drops WHERE kind = 'groups' AND key = $1")
            .bind(group_id.as_str())
            .execute(self)
            .await
            .map_err(failed("store a group"))?;
        Ok(())
    }

    /// Removes a group, and notes that its published copy has to go.
    ///
    /// # Errors
    /// [`StoreError`] when it is not stored.
    pub async fn group_delete(&mut self, group_id: &GroupId) -> Result<(), StoreError> {
        sql::query("DELETE FROM groups WHERE group_id = $1")
            .bind(group_id.as_str())
            .execute(self)
            .await
            .map_err(failed("delete a group"))?;
        self.drop_insert("groups", group_id.as_str()).await
    }

    /// Notes that a published copy has to go.
    pub(super) async fn drop_insert(
        &mut self,
        kind: &'static str,
        key: &str,
    ) -> Result<(), StoreError> {
        sql::query(
            "INSERT INTO drops (kind, key, at) VALUES ($1, $2, $3)
             ON CONFLICT (kind, key) DO UPDATE SET at = excluded.at",
        )
        .bind(kind)
        .bind(key)
        .bind(ms(self.now()))
        .execute(self)
        .await
        .map_err(failed("note a copy to delete"))?;
        Ok(())
    }

    /// Which of these groups exist.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn groups_known(&mut self, groups: &[GroupId]) -> Result<Vec<GroupId>, StoreError> {
        let mut known = Vec::with_capacity(groups.len());
        for groups in groups.chunks(ROWS_PER_STATEMENT) {
            let mut select = QueryBuilder::new("SELECT group_id FROM groups WHERE group_id");
            select.push_in(groups.iter().map(|group| group.as_str()));
            let names: Vec<String> = select
                .build_query_scalar()
                .fetch_all(self)
                .await
                .map_err(failed("look for groups"))?;
            for one in names {
                known.push(name("groups.group_id", &one)?);
            }
        }
        Ok(known)
    }

    /// Names of all groups, by name; for hints.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn group_names(&mut self) -> Result<Vec<String>, StoreError> {
        sql::query_scalar("SELECT group_id FROM groups ORDER BY group_id LIMIT 5000")
            .fetch_all(self)
            .await
            .map_err(failed("list groups"))
    }
}

/// Adds a condition that `column` contains the text.
pub(super) fn containing(select: &mut QueryBuilder, column: &'static str, search: Option<&str>) {
    if let Some(search) = search {
        let escaped: String = search
            .chars()
            .flat_map(|c| {
                let escape = matches!(c, '%' | '_' | '\\').then_some('\\');
                escape.into_iter().chain([c])
            })
            .collect();
        select
            .push(format_args!(" AND {column} "))
            .push_either("LIKE ", "ILIKE ")
            .push_bind(format!("%{escaped}%"));
        select.push(" ESCAPE '\\'");
    }
}

async fn group_find(conn: &mut Conn, group_id: &GroupId) -> Result<Option<GroupView>, StoreError> {
    let mut select = QueryBuilder::new(format!(
        "SELECT {COLUMNS} FROM groups g WHERE g.group_id = "
    ));
    select.push_bind(group_id.as_str());
    let row = select
        .build()
        .fetch_optional(&mut *conn)
        .await
        .map_err(failed("read a group"))?;
    let Some(mut group) = row.as_ref().map(group_view).transpose()? else {
        return Ok(None);
    };
    let names: Vec<String> =
        sql::query_scalar("SELECT pc_id FROM group_members WHERE group_id = $1 ORDER BY pc_id")
            .bind(group_id.as_str())
            .fetch_all(conn)
            .await
            .map_err(failed("read the members of a group"))?;
    let members: Result<Vec<PcId>, _> = names
        .iter()
        .map(|one| name("group_members.pc_id", one))
        .collect();
    group.members = Some(members?);
    Ok(Some(group))
}

fn group_view(row: &Row) -> Result<GroupView, StoreError> {
    Ok(GroupView {
        group_id: name("groups.group_id", row.get("group_id"))?,
        description: row.get("description"),
        revision: count(row.get("revision")),
        member_count: count(row.get("member_count")),
        members: None,
        updated_at: time(row.get("updated_at")),
    })
}

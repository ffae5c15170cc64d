//! What the publisher needs to know of a scope: its revs, and the commands of its document.
//!
//! **Invariant:** a recorded rev is one that this database reserved, or took over from the broker;
//! what a heartbeat says raises the floor alone.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use kanade_shared::api::execs::TargetState;
use kanade_shared::document::{Entry, EntryKey};
use kanade_shared::id::{Attempt, ExecId, PcId};
use kanade_shared::subject::Scope;
use kanade_shared::wire::command::{Command, Rev, StopAction};

use super::convert::{self, count, exec_bytes, integer, time};
use super::sql::{self, Conn, QueryBuilder, Row};
use super::{ROWS_PER_STATEMENT, Store, StoreError, Tx, failed};

/// Names a command.
pub type CommandKey = (ExecId, Attempt);

/// A command that may still matter, without its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveCommand {
    /// The exec.
    pub exec_id: ExecId,
    /// Which attempt.
    pub attempt: Attempt,
    /// Whether it is in `commands.all`.
    pub wide: bool,
    /// The operator's stop.
    pub stop: Option<StopAction>,
    /// Name of its script's body on the broker.
    pub body_sha256: Option<String>,
    /// Latest start.
    pub deadline: DateTime<Utc>,
    /// When nothing of it can run any more.
    pub over_at: DateTime<Utc>,
}

/// Highest rev that was reserved, and highest that was heard of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Revs {
    /// Reserved here.
    pub recorded: Rev,
    /// Heard from a PC.
    pub floor: Rev,
}

impl Store {
    /// Every command that may still matter.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn commands_live(&self) -> Result<Vec<LiveCommand>, StoreError> {
        let rows = sql::query(
            "SELECT exec_id, attempt, wide, stop, body_sha256, deadline, over_at
             FROM commands WHERE live = 1",
        )
        .fetch_all(&mut *self.read().await?)
        .await
        .map_err(failed("list live commands"))?;
        rows.iter().map(live_command).collect()
    }

    /// PCs in whose own documents a command is, was or will be.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn command_pcs(&self, key: CommandKey) -> Result<Vec<PcId>, StoreError> {
        let names: Vec<String> = sql::query_scalar(
            "SELECT pc_id FROM targets WHERE exec_id = $1 AND attempt = $2 AND wide = 0",
        )
        .bind(exec_bytes(key.0))
        .bind(integer(key.1.0))
        .fetch_all(&mut *self.read().await?)
        .await
        .map_err(failed("list the PCs of a command"))?;
        let name = |name: &String| convert::name("targets.pc_id", name);
        names.iter().map(name).collect()
    }

    /// Scopes of which somebody holds a rev above the reserved one.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn scopes_overtaken(&self) -> Result<Vec<Scope>, StoreError> {
        let names: Vec<String> =
            sql::query_scalar("SELECT scope FROM scopes WHERE floor_rev > recorded_rev")
                .fetch_all(&mut *self.read().await?)
                .await
                .map_err(failed("list scopes"))?;
        let scope =
            |name: &String| Scope::parse(name).map_err(|_| StoreError::value("scopes.scope", name));
        names.iter().map(scope).collect()
    }

    /// The encrypted bytes of a body.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn body_bytes(&self, sha256: &str) -> Result<Option<Vec<u8>>, StoreError> {
        sql::query_scalar("SELECT bytes FROM bodies WHERE sha256 = $1")
            .bind(sha256)
            .fetch_optional(&mut *self.read().await?)
            .await
            .map_err(failed("read a script"))
    }
}

impl Tx {
    /// Revs of these scopes; one that is missing has none.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn scopes_revs(
        &mut self,
        scopes: &[Scope],
    ) -> Result<HashMap<Scope, Revs>, StoreError> {
        let mut revs = HashMap::with_capacity(scopes.len());
        for scopes in scopes.chunks(ROWS_PER_STATEMENT) {
            let mut select =
                QueryBuilder::new("SELECT scope, recorded_rev, floor_rev FROM scopes WHERE scope");
            select.push_in(scopes.iter().map(|scope| scope.to_string()));
            let rows = select
                .build()
                .fetch_all(self)
                .await
                .map_err(failed("read the revs of scopes"))?;
            for row in rows {
                let name: String = row.get("scope");
                let scope =
                    Scope::parse(&name).map_err(|_| StoreError::value("scopes.scope", &name))?;
                let recorded = Rev(count(row.get("recorded_rev")));
                let floor = Rev(count(row.get("floor_rev")));
                revs.insert(scope, Revs { recorded, floor });
            }
        }
        Ok(revs)
    }

    /// Reserves these revs.
    ///
    /// # Errors
    /// [`StoreError`] when they are not stored.
    pub async fn scopes_record(&mut self, revs: &[(Scope, Rev)]) -> Result<(), StoreError> {
        self.scopes_upsert(revs, "recorded_rev").await
    }

    /// Raises the floors of these scopes.
    ///
    /// # Errors
    /// [`StoreError`] when they are not stored.
    pub async fn scopes_raise_floor(&mut self, revs: &[(Scope, Rev)]) -> Result<(), StoreError> {
        self.scopes_upsert(revs, "floor_rev").await
    }

    async fn scopes_upsert(
        &mut self,
        revs: &[(Scope, Rev)],
        column: &'static str,
    ) -> Result<(), StoreError> {
        // Once each: a statement may not change a row that it inserted.
        let mut highest: HashMap<&Scope, Rev> = HashMap::with_capacity(revs.len());
        for (scope, rev) in revs {
            let known = highest.entry(scope).or_insert(*rev);
            *known = (*known).max(*rev);
        }
        let revs: Vec<(&Scope, Rev)> = highest.into_iter().collect();
        for revs in revs.chunks(ROWS_PER_STATEMENT) {
            let mut insert = QueryBuilder::new(format!("INSERT INTO scopes (scope, {column}) "));
            insert.push_values(revs, |mut row, (scope, rev)| {
                row.push_bind(scope.to_string()).push_bind(integer(rev.0));
            });
            insert.push(format_args!(
                " ON CONFLICT (scope) DO UPDATE SET {column} = excluded.{column}
                  WHERE excluded.{column} > scopes.{column}"
            ));
            insert
                .build()
                .execute(self)
                .await
                .map_err(failed("reserve a rev"))?;
        }
        Ok(())
    }

    /// Commands of `commands.all`, oldest first.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn scope_all_entries(&mut self) -> Result<Vec<Entry>, StoreError> {
        let rows = sql::query(
            "SELECT exec_id, attempt, wide, reach, issued_at, deadline, over_at, command, stop,
               EXISTS (SELECT 1 FROM execs e WHERE e.exec_id = commands.exec_id
                 AND e.n_pending + e.n_admitted + e.n_running > 0)
               AND EXISTS (SELECT 1 FROM targets t WHERE t.exec_id = commands.exec_id
                 AND t.attempt = commands.attempt AND t.state <> 'ended') AS targets_left
             FROM commands WHERE live = 1 AND wide = 1",
        )
        .fetch_all(self)
        .await
        .map_err(failed("list the commands of all"))?;
        let mut entries = Vec::with_capacity(rows.len());
        for row in &rows {
            let known = known_command(row)?;
            let may_join = known.key.reach == kanade_shared::wire::command::Reach::Open;
            entries.push(known.entry(may_join || row.get::<bool, _>("targets_left")));
        }
        entries.sort_by_key(order);
        Ok(entries)
    }

    /// Commands of these PCs' own documents, oldest first: those that a target waits for, those
    /// that were stopped, and those of `listed` that are known here at all.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn scope_pc_entries(
        &mut self,
        pcs: &[PcId],
        listed: &[(PcId, CommandKey)],
    ) -> Result<HashMap<PcId, Vec<Entry>>, StoreError> {
        let mut found: BTreeMap<(PcId, CommandKey), bool> = BTreeMap::new();
        for pcs in pcs.chunks(ROWS_PER_STATEMENT) {
            self.waiting_in(pcs, &mut found).await?;
            self.stopped_in(pcs, &mut found).await?;
        }
        let listed: Vec<_> = listed
            .iter()
            .filter(|one| !found.contains_key(*one))
            .collect();
        for listed in listed.chunks(ROWS_PER_STATEMENT) {
            self.known_of(listed, &mut found).await?;
        }
        let keys: BTreeSet<CommandKey> = found.keys().map(|(_, key)| *key).collect();
        let keys: Vec<CommandKey> = keys.into_iter().collect();
        let commands = commands_by_key(self, &keys).await?;
        let mut entries: HashMap<PcId, Vec<Entry>> = HashMap::new();
        for ((pc_id, key), left) in found {
            if let Some(command) = commands.get(&key) {
                let entry = command.entry(left);
                entries.entry(pc_id).or_default().push(entry);
            }
        }
        for entries in entries.values_mut() {
            entries.sort_by_key(order);
        }
        Ok(entries)
    }

    async fn waiting_in(
        &mut self,
        pcs: &[PcId],
        found: &mut BTreeMap<(PcId, CommandKey), bool>,
    ) -> Result<(), StoreError> {
        let mut select = QueryBuilder::new(
            "SELECT t.pc_id, t.exec_id, t.attempt, t.state FROM targets t
             JOIN commands c ON c.exec_id = t.exec_id AND c.attempt = t.attempt AND c.live = 1
             WHERE t.open = 1 AND t.wide = 0 AND t.pc_id",
        );
        select.push_in(pcs.iter().map(PcId::as_str));
        self.collect(select, found).await
    }

    async fn stopped_in(
        &mut self,
        pcs: &[PcId],
        found: &mut BTreeMap<(PcId, CommandKey), bool>,
    ) -> Result<(), StoreError> {
        let mut select =
            QueryBuilder::new("SELECT t.pc_id, t.exec_id, t.attempt, t.state FROM commands c");
        select.push_inner_join().push(
            " targets t
             ON t.exec_id = c.exec_id AND t.attempt = c.attempt
             WHERE c.live = 1 AND c.wide = 0 AND c.stop IS NOT NULL AND t.wide = 0
             AND t.pc_id",
        );
        select.push_in(pcs.iter().map(PcId::as_str));
        self.collect(select, found).await
    }

    async fn known_of(
        &mut self,
        listed: &[&(PcId, CommandKey)],
        found: &mut BTreeMap<(PcId, CommandKey), bool>,
    ) -> Result<(), StoreError> {
        let mut select = QueryBuilder::new("WITH v (exec_id, pc_id, attempt) AS (");
        select.push_values(listed, |mut row, (pc_id, key)| {
            row.push_bind(exec_bytes(key.0))
                .push_bind(pc_id.as_str())
                .push_bind(integer(key.1.0));
        });
        select.push(
            ") SELECT t.pc_id, t.exec_id, t.attempt, t.state FROM v JOIN targets t
             ON t.exec_id = v.exec_id AND t.pc_id = v.pc_id AND t.attempt = v.attempt",
        );
        self.collect(select, found).await
    }

    async fn collect(
        &mut self,
        mut select: QueryBuilder,
        found: &mut BTreeMap<(PcId, CommandKey), bool>,
    ) -> Result<(), StoreError> {
        let rows = select
            .build()
            .fetch_all(self)
            .await
            .map_err(failed("list the commands of PCs"))?;
        for row in rows {
            let pc_id = convert::name("targets.pc_id", row.get("pc_id"))?;
            let key = command_key(&row)?;
            let state = convert::target_state(row.get("state"))?;
            found.insert((pc_id, key), state != TargetState::Ended);
        }
        Ok(())
    }

    /// Notes the rev of the document of a PC that first listed a command.
    ///
    /// # Errors
    /// [`StoreError`] when it is not stored.
    pub async fn targets_listed(
        &mut self,
        listed: &[(PcId, CommandKey, Rev)],
    ) -> Result<(), StoreError> {
        for listed in listed.chunks(ROWS_PER_STATEMENT) {
            let mut update = QueryBuilder::new("WITH v (exec_id, pc_id, attempt, rev) AS (");
            update.push_values(listed, |mut row, (pc_id, key, rev)| {
                row.push_bind(exec_bytes(key.0))
                    .push_bind(pc_id.as_str())
                    .push_bind(integer(key.1.0))
                    .push_bind(integer(rev.0));
            });
            update.push(
                ") UPDATE targets SET listed_rev = v.rev FROM v
                 WHERE targets.exec_id = v.exec_id AND targets.pc_id = v.pc_id
                   AND targets.attempt = v.attempt AND targets.listed_rev = 0",
            );
            update
                .build()
                .execute(self)
                .await
                .map_err(failed("note what is listed"))?;
        }
        Ok(())
    }

    /// Notes the rev of `commands.all` that first listed these commands.
    ///
    /// # Errors
    /// [`StoreError`] when it is not stored.
    pub async fn commands_listed(
        &mut self,
        keys: &[CommandKey],
        rev: Rev,
    ) -> Result<(), StoreError> {
        for keys in keys.chunks(ROWS_PER_STATEMENT) {
            let mut update = QueryBuilder::new("WITH v (exec_id, attempt) AS (");
            update.push_values(keys, |mut row, key| {
                row.push_bind(exec_bytes(key.0)).push_bind(integer(key.1.0));
            });
            update.push(") UPDATE commands SET listed_rev = ");
            update.push_bind(integer(rev.0));
            update.push(
                " FROM v WHERE commands.exec_id = v.exec_id AND commands.attempt = v.attempt
                   AND commands.listed_rev = 0",
            );
            update
                .build()
                .execute(self)
                .await
                .map_err(failed("note what is listed"))?;
        }
        Ok(())
    }
}

/// A row of `commands`.
#[derive(Debug, Clone)]
pub(super) struct KnownCommand {
    key: EntryKey,
    command: Option<Command>,
    stop: Option<StopAction>,
}

impl KnownCommand {
    fn entry(&self, targets_left: bool) -> Entry {
        Entry {
            command: self.command.clone(),
            key: self.key.clone(),
            stop: self.stop,
            targets_left,
        }
    }
}

async fn commands_by_key(
    conn: &mut Conn,
    keys: &[CommandKey],
) -> Result<HashMap<CommandKey, KnownCommand>, StoreError> {
    let mut commands = HashMap::with_capacity(keys.len());
    for keys in keys.chunks(ROWS_PER_STATEMENT) {
        let mut select = QueryBuilder::new("WITH v (exec_id, attempt) AS (");
        select.push_values(keys, |mut row, key| {
            row.push_bind(exec_bytes(key.0)).push_bind(integer(key.1.0));
        });
        select.push(
            ") SELECT c.exec_id, c.attempt, c.wide, c.reach, c.issued_at, c.deadline, c.over_at,
               c.command, c.stop FROM v",
        );
        select.push_inner_join().push(
            " commands c
             ON c.exec_id = v.exec_id AND c.attempt = v.attempt",
        );
        let rows = select
            .build()
            .fetch_all(&mut *conn)
            .await
            .map_err(failed("read commands"))?;
        for row in &rows {
            let command = known_command(row)?;
            commands.insert((command.key.exec_id, command.key.attempt), command);
        }
    }
    Ok(commands)
}

fn order(entry: &Entry) -> (DateTime<Utc>, ExecId, Attempt) {
    (entry.key.issued_at, entry.key.exec_id, entry.key.attempt)
}

fn command_key(row: &Row) -> Result<CommandKey, StoreError> {
    let exec_id = convert::exec_id(row.get("exec_id"))?;
    Ok((exec_id, Attempt(count(row.get("attempt")))))
}

fn stop_of(row: &Row) -> Result<Option<StopAction>, StoreError> {
    let stop: Option<String> = row.get("stop");
    stop.as_deref().map(convert::stop).transpose()
}

fn known_command(row: &Row) -> Result<KnownCommand, StoreError> {
    let (exec_id, attempt) = command_key(row)?;
    let command: Option<String> = row.get("command");
    Ok(KnownCommand {
        key: EntryKey {
            exec_id,
            attempt,
            reach: convert::reach(row.get("reach"))?,
            issued_at: time(row.get("issued_at")),
            deadline: time(row.get("deadline")),
            over_at: time(row.get("over_at")),
        },
        command: command
            .map(|text| convert::json("commands.command", &text))
            .transpose()?,
        stop: stop_of(row)?,
    })
}

fn live_command(row: &Row) -> Result<LiveCommand, StoreError> {
    let (exec_id, attempt) = command_key(row)?;
    Ok(LiveCommand {
        exec_id,
        attempt,
        wide: row.get("wide"),
        stop: stop_of(row)?,
        body_sha256: row.get("body_sha256"),
        deadline: time(row.get("deadline")),
        over_at: time(row.get("over_at")),
    })
}

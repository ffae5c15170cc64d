//! Taking back from the broker what an older or empty database lacks.
//!
//! While [`Behind`] is set, the database is known to be older than the broker: results of execs
//! that it may have issued are kept unverified, and fixed execs go in the PCs' own documents.
//!
//! **Invariant:** what is taken over never replaces what the database knows by something older.

use chrono::{DateTime, Duration, Utc};
use kanade_shared::api::system::AuditRow;
use kanade_shared::id::{Attempt, ExecId, GroupId, PcId};
use kanade_shared::wire::command::{Command, Reach, Run, ScriptSource, Stop};
use kanade_shared::wire::desired::AgentDesired;

use super::convert::{self, count, exec_bytes, integer, ms, time};
use super::intake::{ExecRow, TargetRow};
use super::sql::{self, QueryBuilder};
use super::{ROWS_PER_STATEMENT, Store, StoreError, Tx, failed};

const SINCE: &str = "behind_since";
const FROM: &str = "behind_from";
const SETTLED: &str = "settled_at";
const GENERATION: &str = "lease_generation";

/// How long a database that was behind is taken to be so: as long as results are kept.
pub const BEHIND_DAYS: i64 = 30;

/// The time that the database lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Behind {
    /// When it was last known to have everything.
    pub from: DateTime<Utc>,
    /// When it was noticed.
    pub since: DateTime<Utc>,
}

impl Behind {
    /// Whether something of this time may have been lost.
    #[must_use]
    pub fn lost(&self, at: DateTime<Utc>) -> bool {
        self.from < at && at <= self.since
    }
}

impl Store {
    /// When database and broker were last known to agree, as the database says now.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn settled_at(&self) -> Result<Option<DateTime<Utc>>, StoreError> {
        let mut conn = self.read().await?;
        let text = super::tx::meta(&mut conn, SETTLED).await?;
        Ok(text.and_then(|text| text.parse().ok()).map(time))
    }
}

impl Store {
    /// [`Tx::behind`], as last committed.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn behind(&self) -> Result<Option<Behind>, StoreError> {
        let mut conn = self.read().await?;
        let since = super::tx::meta(&mut conn, SINCE).await?;
        let from = super::tx::meta(&mut conn, FROM).await?;
        Ok(behind(since, from, Utc::now()))
    }
}

fn behind(since: Option<String>, from: Option<String>, now: DateTime<Utc>) -> Option<Behind> {
    let behind = Behind {
        from: time(from.and_then(|text| text.parse().ok()).unwrap_or(0)),
        since: time(since?.parse().ok()?),
    };
    let over = behind.since + Duration::days(BEHIND_DAYS) < now;
    (!over).then_some(behind)
}

impl Tx {
    /// The time that the database lost, while it is known to be older than the broker.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn behind(&mut self) -> Result<Option<Behind>, StoreError> {
        let since = self.meta(SINCE).await?;
        let from = self.meta(FROM).await?;
        Ok(behind(since, from, self.now()))
    }

    /// Notes that the database is older than the broker, and had everything until `from`.
    ///
    /// # Errors
    /// [`StoreError`] when it is not stored.
    pub async fn behind_mark(&mut self, from: DateTime<Utc>) -> Result<(), StoreError> {
        let earlier = self.behind().await?.map_or(from, |old| old.from.min(from));
        let now = ms(self.now());
        self.set_meta(FROM, &ms(earlier).to_string()).await?;
        self.set_meta(SINCE, &now.to_string()).await?;
        // Whatever was begun under the old generation is not gone on with.
        self.set_meta(GENERATION, &now.to_string()).await
    }

    /// Forgets that the database was behind once nothing can come of it any more.
    ///
    /// # Errors
    /// [`StoreError`] when it is not stored.
    pub async fn behind_end(&mut self) -> Result<(), StoreError> {
        if self.behind().await?.is_none() {
            self.clear_meta(SINCE).await?;
            self.clear_meta(FROM).await?;
        }
        Ok(())
    }

    /// Notes that database and broker agree now.
    ///
    /// # Errors
    /// [`StoreError`] when it is not stored.
    pub async fn settled(&mut self) -> Result<(), StoreError> {
        let now = ms(self.now()).to_string();
        self.set_meta(SETTLED, &now).await
    }

    /// Inserts execs that this database never issued; of their script nothing is known.
    ///
    /// # Errors
    /// [`StoreError`] when they are not stored.
    pub async fn exec_stubs_insert(&mut self, execs: &[ExecRow]) -> Result<(), StoreError> {
        for exec in execs {
            self.exec_adopt(exec, None, None).await?;
        }
        Ok(())
    }

    /// Inserts an exec that this database never issued, with the command that tells of it.
    ///
    /// # Errors
    /// [`StoreError`] when it is not stored.
    pub async fn exec_adopt(
        &mut self,
        exec: &ExecRow,
        version: Option<&str>,
        run: Option<&Run>,
    ) -> Result<(), StoreError> {
        let title = match (&exec.job_id, run.map(|run| &run.script)) {
            (Some(job_id), _) => job_id.to_string(),
            (None, Some(ScriptSource::Inline { text })) => title(text),
            (None, _) => "taken over from the broker".to_owned(),
        };
        sql::query(
            "INSERT INTO execs (exec_id, job_id, job_version, title, reach, issued_by, issued_at,
               deadline, stop, joins_until, adopted)
             VALUES ($1, $2, $3, $4, $5, 'unknown', $6, $7, $8, $9, 1) ON CONFLICT DO NOTHING",
        )
        .bind(exec_bytes(exec.exec_id))
        .bind(exec.job_id.as_ref().map(|id| id.as_str()))
        .bind(version)
        .bind(title)
        .bind(convert::reach_word(exec.reach))
        .bind(ms(exec.issued_at))
        .bind(ms(exec.deadline))
        .bind(exec.stop.map(convert::stop_word))
        .bind(exec.joins_until.map(ms))
        .execute(self)
        .await
        .map_err(failed("adopt an exec"))?;
        let run = match run {
            Some(run) => convert::to_json("exec_details.run", run)?,
            None => r#"{"shell":"sh","script":{"from":"inline","text":""},"timeout_s":1}"#.into(),
        };
        sql::query(
            "INSERT INTO exec_details (exec_id, targets, run) VALUES ($1, '{}', $2)
             ON CONFLICT DO NOTHING",
        )
        .bind(exec_bytes(exec.exec_id))
        .bind(run)
        .execute(self)
        .await
        .map_err(failed("adopt an exec"))?;
        Ok(())
    }

    /// Inserts a command of an exec that is there; `false` when it was known. A new attempt is not
    /// stopped by what stopped those before.
    ///
    /// # Errors
    /// [`StoreError`] when it is not stored.
    pub async fn command_adopt(
        &mut self,
        command: &Command,
        wide: bool,
        listed_rev: u64,
    ) -> Result<bool, StoreError> {
        let body = match &command.run.script {
            ScriptSource::Body(body) => Some(body.sha256.as_str()),
            ScriptSource::Inline { .. } | ScriptSource::Https(_) => None,
        };
        let inserted = sql::query(
            "INSERT INTO commands (exec_id, attempt, wide, reach, issued_at, deadline, over_at,
               command, body_sha256, listed_rev)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
             ON CONFLICT (exec_id, attempt) DO NOTHING",
        )
        .bind(exec_bytes(command.exec_id))
        .bind(integer(command.attempt.0))
        .bind(wide)
        .bind(convert::reach_word(command.reach))
        .bind(ms(command.issued_at))
        .bind(ms(command.deadline))
        .bind(ms(command.over_at()))
        .bind(convert::to_json("commands.command", command)?)
        .bind(body)
        .bind(integer(listed_rev))
        .execute(self)
        .await
        .map_err(failed("adopt a command"))?;
        let new = inserted.rows_affected() > 0;
        if new {
            sql::query(
                "UPDATE execs SET stop = NULL, stopped_at = NULL
                 WHERE exec_id = $1 AND stop IS NOT NULL AND NOT EXISTS
                   (SELECT 1 FROM commands WHERE exec_id = $1 AND attempt > $2)",
            )
            .bind(exec_bytes(command.exec_id))
            .bind(integer(command.attempt.0))
            .execute(self)
            .await
            .map_err(failed("adopt a command"))?;
        }
        Ok(new)
    }

    /// Inserts a command of which only its stop is known; `false` when it was known.
    ///
    /// # Errors
    /// [`StoreError`] when it is not stored.
    pub async fn command_of_stop(&mut self, stop: &Stop, wide: bool) -> Result<bool, StoreError> {
        let inserted = sql::query(
            "INSERT INTO commands (exec_id, attempt, wide, reach, issued_at, deadline, over_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (exec_id, attempt) DO NOTHING",
        )
        .bind(exec_bytes(stop.exec_id))
        .bind(integer(stop.attempt.0))
        .bind(wide)
        .bind(convert::reach_word(stop.reach))
        .bind(ms(stop.issued_at))
        .bind(ms(stop.deadline))
        .bind(ms(stop.until))
        .execute(self)
        .await
        .map_err(failed("adopt a stop"))?;
        Ok(inserted.rows_affected() > 0)
    }

    /// Sets the stop of a command and, if it is the newest attempt, of its exec, unless they have
    /// it, or a kill; `false` when nothing changed.
    ///
    /// # Errors
    /// [`StoreError`] when it is not stored.
    pub async fn stop_adopt(&mut self, stop: &Stop) -> Result<bool, StoreError> {
        let word = convert::stop_word(stop.action);
        let stopped = sql::query(
            "UPDATE commands SET stop = $1 WHERE exec_id = $2 AND attempt = $3
             AND (stop IS NULL OR (stop = 'withdraw' AND $1 = 'kill'))",
        )
        .bind(word)
        .bind(exec_bytes(stop.exec_id))
        .bind(integer(stop.attempt.0))
        .execute(self)
        .await
        .map_err(failed("take over a stop"))?;
        sql::query(
            "UPDATE execs SET joins_until = NULL,
               stop = CASE WHEN later.attempt THEN stop ELSE $1 END,
               stopped_at = CASE WHEN later.attempt THEN stopped_at ELSE $2 END
             FROM (SELECT EXISTS
               (SELECT 1 FROM commands WHERE exec_id = $3 AND attempt > $4) AS attempt) AS later
             WHERE exec_id = $3 AND (stop IS NULL OR (stop = 'withdraw' AND $1 = 'kill'))",
        )
        .bind(word)
        .bind(ms(self.now()))
        .bind(exec_bytes(stop.exec_id))
        .bind(integer(stop.attempt.0))
        .execute(self)
        .await
        .map_err(failed("take over a stop"))?;
        Ok(stopped.rows_affected() > 0)
    }

    /// Targets of a command that wait, or all that a PC has of an exec when `pc_id` is given.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn targets_of_exec(
        &mut self,
        exec_id: ExecId,
        attempt: Option<Attempt>,
        pc_id: Option<&PcId>,
    ) -> Result<Vec<TargetRow>, StoreError> {
        let mut select = QueryBuilder::new(
            "SELECT exec_id, pc_id, attempt, request_id, newest, wide, state, outcome,
               provisional, reason_code, reason_text, exit_code, stopping, open, listed_rev,
               admitted_at, started_at, ended_at FROM targets WHERE exec_id = ",
        );
        select.push_bind(exec_bytes(exec_id));
        if let Some(pc_id) = pc_id {
            select.push(" AND pc_id = ");
            select.push_bind(pc_id.as_str());
        }
        if let Some(attempt) = attempt {
            select.push(" AND attempt = ");
            select.push_bind(integer(attempt.0));
            select.push(" AND state <> 'ended'");
        }
        self.targets_of(select).await
    }

    /// Every PC with the time at which it became part of the fleet.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn pcs_enrolled(&mut self) -> Result<Vec<(PcId, DateTime<Utc>, u64)>, StoreError> {
        let rows = sql::query("SELECT pc_id, enrolled_at, desired_rev FROM pcs")
            .fetch_all(self)
            .await
            .map_err(failed("list PCs"))?;
        rows.iter()
            .map(|row| {
                let pc_id = convert::name("pcs.pc_id", row.get("pc_id"))?;
                let rev = count(row.get("desired_rev"));
                Ok((pc_id, time(row.get("enrolled_at")), rev))
            })
            .collect()
    }

    /// Commands of `commands.all` that a PC of this enrolment takes, although they were issued
    /// before this database knew it: open ones, and fixed ones of execs that were taken over.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn commands_to_join(
        &mut self,
        enrolled_at: DateTime<Utc>,
    ) -> Result<Vec<JoinableCommand>, StoreError> {
        let rows = sql::query(
            "SELECT c.exec_id, c.attempt, c.reach, c.issued_at, c.stop, e.adopted
             FROM commands c JOIN execs e ON e.exec_id = c.exec_id
             WHERE c.live = 1 AND c.wide = 1 AND c.deadline > $1",
        )
        .bind(ms(self.now()))
        .fetch_all(self)
        .await
        .map_err(failed("list open commands"))?;
        let mut joinable = Vec::new();
        for row in rows {
            let reach = convert::reach(row.get("reach"))?;
            let adopted: bool = row.get("adopted");
            let issued_at = time(row.get("issued_at"));
            if reach == Reach::Open || (adopted && enrolled_at < issued_at) {
                let stop: Option<String> = row.get("stop");
                joinable.push(JoinableCommand {
                    exec_id: convert::exec_id(row.get("exec_id"))?,
                    attempt: Attempt(count(row.get("attempt"))),
                    stopped: stop.is_some(),
                });
            }
        }
        Ok(joinable)
    }

    /// Puts a PC into the database as its desired document says, with its groups. One that is
    /// known keeps the older of the two enrolments.
    ///
    /// # Errors
    /// [`StoreError`] when it is not stored.
    pub async fn pc_adopt(&mut self, desired: &AgentDesired) -> Result<(), StoreError> {
        sql::query(
            "INSERT INTO pcs (pc_id, enrolled_at, presence_since, desired_rev)
             VALUES ($1, $2, $3, $4)
             ON CONFLICT (pc_id) DO UPDATE SET
               enrolled_at = CASE WHEN excluded.enrolled_at < pcs.enrolled_at
                 THEN excluded.enrolled_at ELSE pcs.enrolled_at END,
               desired_rev = CASE WHEN excluded.desired_rev > pcs.desired_rev
                 THEN excluded.desired_rev ELSE pcs.desired_rev END,
               desired_hash = NULL",
        )
        .bind(desired.pc_id.as_str())
        .bind(ms(desired.enrolled_at))
        .bind(ms(self.now()))
        .bind(integer(desired.rev.0))
        .execute(self)
        .await
        .map_err(failed("adopt a PC"))?;
        for group in &desired.groups {
            self.group_member_adopt(group, &desired.pc_id).await?;
        }
        Ok(())
    }

    async fn group_member_adopt(
        &mut self,
        group: &GroupId,
        pc_id: &PcId,
    ) -> Result<(), StoreError> {
        let now = ms(self.now());
        sql::query(
            "INSERT INTO groups (group_id, revision, updated_at) VALUES ($1, 1, $2)
             ON CONFLICT DO NOTHING",
        )
        .bind(group.as_str())
        .bind(now)
        .execute(self)
        .await
        .map_err(failed("adopt a group"))?;
        sql::query(
            "INSERT INTO group_members (group_id, pc_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        )
        .bind(group.as_str())
        .bind(pc_id.as_str())
        .execute(self)
        .await
        .map_err(failed("adopt a group"))?;
        Ok(())
    }

    /// Inserts audit rows that the broker has, as far as the database lacks them; says how many.
    ///
    /// # Errors
    /// [`StoreError`] when they are not stored.
    pub async fn audit_take_back(
        &mut self,
        rows: &[(uuid::Uuid, AuditRow)],
    ) -> Result<u64, StoreError> {
        let mut taken = 0;
        for rows in rows.chunks(ROWS_PER_STATEMENT) {
            let mut insert = QueryBuilder::new(
                "INSERT INTO audit (audit_id, at, actor, action, object, detail, published) ",
            );
            insert.push_values(rows, |mut values, (id, row)| {
                values
                    .push_bind(id.as_bytes().to_vec())
                    .push_bind(ms(row.at))
                    .push_bind(row.actor.as_str())
                    .push_bind(row.action.as_str())
                    .push_bind(row.object.as_str())
                    .push_bind(row.detail.to_string())
                    .push_bind(1);
            });
            insert.push(" ON CONFLICT DO NOTHING");
            let done = insert
                .build()
                .execute(self)
                .await
                .map_err(failed("take back audit rows"))?;
            taken += done.rows_affected();
        }
        Ok(taken)
    }
}

/// A command of `commands.all` that more PCs may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JoinableCommand {
    /// The exec.
    pub exec_id: ExecId,
    /// Which attempt.
    pub attempt: Attempt,
    /// Whether an operator stopped it.
    pub stopped: bool,
}

/// The first line of a script that says something, cut at 80 characters.
fn title(script: &str) -> String {
    let line = script
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with("#!"));
    line.unwrap_or("script").chars().take(80).collect()
}

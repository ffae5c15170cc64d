//! Commands as they are issued: one row per attempt of an exec, and how much of a document they
//! take. What the publisher lists of them is in `scopes`.

use kanade_shared::id::{ExecId, PcId};
use kanade_shared::wire::command::{Command, Run};

use super::convert::{count, exec_bytes, integer, json, ms, reach_word};
use super::sql::{self, QueryBuilder};
use super::{ROWS_PER_STATEMENT, StoreError, Tx, failed};

impl Tx {
    /// Stores what PCs are told.
    ///
    /// # Errors
    /// [`StoreError`] when it is not stored.
    pub async fn command_insert(
        &mut self,
        command: &Command,
        json: &str,
        wide: bool,
        body_sha256: Option<&str>,
    ) -> Result<(), StoreError> {
        sql::query(
            "INSERT INTO commands (exec_id, attempt, wide, reach, issued_at, deadline, over_at,
               command, body_sha256)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(exec_bytes(command.exec_id))
        .bind(integer(command.attempt.0))
        .bind(wide)
        .bind(reach_word(command.reach))
        .bind(ms(command.issued_at))
        .bind(ms(command.deadline))
        .bind(ms(command.over_at()))
        .bind(json)
        .bind(body_sha256)
        .execute(self)
        .await
        .map_err(failed("store a command"))?;
        Ok(())
    }

    /// What an exec runs, and its newest command that is known, if there is one.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn exec_run(
        &mut self,
        id: ExecId,
    ) -> Result<(Option<Run>, Option<Command>), StoreError> {
        let run: Option<String> =
            sql::query_scalar("SELECT run FROM exec_details WHERE exec_id = $1")
                .bind(exec_bytes(id))
                .fetch_optional(self)
                .await
                .map_err(failed("read what an exec runs"))?;
        let command: Option<String> = sql::query_scalar(
            "SELECT command FROM commands WHERE exec_id = $1 AND command IS NOT NULL
             ORDER BY attempt DESC LIMIT 1",
        )
        .bind(exec_bytes(id))
        .fetch_optional(self)
        .await
        .map_err(failed("read what an exec runs"))?;
        let run = run.map(|run| json("exec_details.run", &run)).transpose()?;
        let command = command
            .map(|text| json("commands.command", &text))
            .transpose()?;
        Ok((run, command))
    }

    /// Bytes of JSON that all commands take which are still to be done, in `commands.all` or in
    /// PCs' own documents.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn commands_size(&mut self, wide: bool) -> Result<u64, StoreError> {
        let size: i64 = sql::query_scalar(
            "SELECT COALESCE(sum(length(command)), 0) FROM commands
             WHERE live = 1 AND wide = $1 AND stop IS NULL AND deadline > $2",
        )
        .bind(wide)
        .bind(ms(self.now()))
        .fetch_one(self)
        .await
        .map_err(failed("measure commands"))?;
        Ok(count(size))
    }

    /// Bytes of JSON that the fullest own document of these PCs takes, for commands still to do.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn documents_size(&mut self, pcs: &[PcId]) -> Result<u64, StoreError> {
        let mut largest = 0;
        for pcs in pcs.chunks(ROWS_PER_STATEMENT) {
            let mut select = QueryBuilder::new(
                "SELECT COALESCE(max(size), 0) FROM (
                   SELECT sum(length(c.command)) AS size FROM targets t
                   JOIN commands c ON c.exec_id = t.exec_id AND c.attempt = t.attempt
                   WHERE t.open = 1 AND t.wide = 0 AND c.live = 1 AND c.stop IS NULL
                     AND t.pc_id",
            );
            select.push_in(pcs.iter().map(|pc_id| pc_id.as_str()));
            select.push(" GROUP BY t.pc_id) AS sizes");
            let size: i64 = select
                .build_query_scalar()
                .fetch_one(self)
                .await
                .map_err(failed("measure documents"))?;
            largest = largest.max(count(size));
        }
        Ok(largest)
    }
}

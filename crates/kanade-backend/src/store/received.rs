//! Results as they came in, many rows at a time.
//!
//! **Invariant:** a result that is there stays as it is; only an agent's `lost` gives way to what
//! it finds out later.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use kanade_shared::id::{JobId, RequestId};
use kanade_shared::wire::result::{Output, RunResult};

use super::convert::{exec_bytes, integer, ms, request_bytes, stored_output};
use super::sql::QueryBuilder;
use super::{ROWS_PER_STATEMENT, StoreError, Tx, failed};

/// Rows of a statement with text in it: less than of others, for the memory that binds take.
const ROWS: usize = ROWS_PER_STATEMENT / 2;

/// A result to store.
#[derive(Debug, Clone, Copy)]
pub struct NewResult<'a> {
    /// What the agent sent.
    pub result: &'a RunResult,
    /// The exec's job, by the database's word.
    pub job_id: Option<&'a JobId>,
    /// Its sequence in the stream.
    pub sequence: u64,
    /// Whether it is of an exec that this database never issued.
    pub unverified: bool,
}

impl Tx {
    /// Stores results with their output.
    ///
    /// # Errors
    /// [`StoreError`] when they are not stored.
    pub async fn results_insert(
        &mut self,
        results: &[NewResult<'_>],
        stored_at: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        for results in without_repeats(results) {
            for results in results.chunks(ROWS) {
                self.result_rows_insert(results, stored_at).await?;
            }
        }
        let outputs: Vec<_> = results.iter().flat_map(long_outputs).collect();
        for outputs in outputs.chunks(ROWS) {
            let mut insert = QueryBuilder::new("INSERT INTO outputs (request_id, stream, text) ");
            insert.push_values(outputs, |mut row, (request, stream, text)| {
                row.push_bind(request.as_slice())
                    .push_bind(*stream)
                    .push_bind(text.as_bytes());
            });
            insert.push(" ON CONFLICT DO NOTHING");
            insert
                .build()
                .execute(self)
                .await
                .map_err(failed("store output"))?;
        }
        Ok(())
    }

    async fn result_rows_insert(
        &mut self,
        results: &[NewResult<'_>],
        stored_at: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let mut insert = QueryBuilder::new(
            "INSERT INTO results (request_id, exec_id, attempt, pc_id, job_id, outcome,
               reason_code, reason_text, exit_code, tries, started_at, ended_at, stored_at,
               stream_seq, unverified,
               stdout_total, stdout_truncated, stdout_object, stdout_hash,
               stderr_total, stderr_truncated, stderr_object, stderr_hash, stdout, stderr) ",
        );
        insert.push_values(results, |mut row, new| {
            let result = new.result;
            let (out, err) = (stored_output(&result.stdout), stored_output(&result.stderr));
            row.push_bind(request_bytes(result.request_id))
                .push_bind(exec_bytes(result.exec_id))
                .push_bind(integer(result.attempt.0))
                .push_bind(result.pc_id.as_str())
                .push_bind(new.job_id.map(JobId::as_str))
                .push_bind(result.outcome.as_str())
                .push_bind(result.reason.as_ref().map(|reason| reason.code.as_str()))
                .push_bind(result.reason.as_ref().map(|reason| reason.text.as_str()))
                .push_bind(result.exit_code)
                .push_bind(result.tries)
                .push_bind(result.started_at.map(ms))
                .push_bind(ms(result.ended_at))
                .push_bind(ms(stored_at))
                .push_bind(integer(new.sequence))
                .push_bind(new.unverified)
                .push_bind(integer(result.stdout.total_bytes))
                .push_bind(integer(result.stdout.truncated_bytes))
                .push_bind(result.stdout.stored_as.as_deref())
                .push_bind(out.hash.as_ref().map(<[u8; 32]>::as_slice))
                .push_bind(integer(result.stderr.total_bytes))
                .push_bind(integer(result.stderr.truncated_bytes))
                .push_bind(result.stderr.stored_as.as_deref())
                .push_bind(err.hash.as_ref().map(<[u8; 32]>::as_slice))
                .push_bind(out.head)
                .push_bind(err.head);
        });
        insert.push(
            " ON CONFLICT (request_id) DO UPDATE SET outcome = excluded.outcome,
                 reason_code = excluded.reason_code, reason_text = excluded.reason_text,
                 exit_code = excluded.exit_code, tries = excluded.tries,
                 started_at = excluded.started_at, ended_at = excluded.ended_at,
                 stdout_total = excluded.stdout_total,
                 stdout_truncated = excluded.stdout_truncated,
                 stdout_object = excluded.stdout_object, stdout_hash = excluded.stdout_hash,
                 stderr_total = excluded.stderr_total,
                 stderr_truncated = excluded.stderr_truncated,
                 stderr_object = excluded.stderr_object, stderr_hash = excluded.stderr_hash,
                 stdout = excluded.stdout, stderr = excluded.stderr
               WHERE results.outcome = 'lost' AND excluded.outcome <> 'lost'",
        );
        insert
            .build()
            .execute(self)
            .await
            .map_err(failed("store results"))?;
        Ok(())
    }
}

/// The same in parts that have each run once: a statement may not change a row that it inserted.
fn without_repeats<'a>(results: &[NewResult<'a>]) -> Vec<Vec<NewResult<'a>>> {
    let mut parts: Vec<Vec<NewResult<'a>>> = Vec::new();
    let mut times: HashMap<RequestId, usize> = HashMap::with_capacity(results.len());
    for new in results {
        let time = times.entry(new.result.request_id).or_default();
        match parts.get_mut(*time) {
            Some(part) => part.push(*new),
            None => parts.push(vec![*new]),
        }
        *time += 1;
    }
    parts
}

/// Texts that a result's row does not hold whole.
fn long_outputs<'a>(new: &NewResult<'a>) -> Vec<(Vec<u8>, &'static str, &'a str)> {
    let result = new.result;
    let whole = |output: &'a Output| stored_output(output).whole;
    [
        ("stdout", whole(&result.stdout)),
        ("stderr", whole(&result.stderr)),
    ]
    .into_iter()
    .filter_map(|(stream, text)| Some((request_bytes(result.request_id), stream, text?)))
    .collect()
}

//! Results as lists and pages show them; how they come in is in `received`.

use kanade_shared::api::Count;
use kanade_shared::api::results::{HEAD_CHARS, OutputView, ResultQuery, ResultView, Stream};
use kanade_shared::id::{Attempt, PcId, RequestId};
use kanade_shared::wire::result::Reason;
use sha2::{Digest, Sha256};

use super::convert::{count, exec_bytes, exec_id, name, outcome, request_bytes, request_id, time};
use super::page::{Slice, count_of, counted};
use super::sql::{self, QueryBuilder, Row};
use super::{Store, StoreError, failed};

const COLUMNS: &str = "result_no, request_id, exec_id, attempt, pc_id, job_id, outcome, \
     reason_code, reason_text, exit_code, tries, started_at, ended_at, stored_at, stdout_total, \
     stdout_truncated, stdout_object, stdout_hash, stderr_total, stderr_truncated, \
     stderr_object, stderr_hash, stdout, stderr, \
     CASE WHEN stdout_hash IS NOT NULL THEN (SELECT length(o.text) FROM outputs o \
       WHERE o.request_id = results.request_id AND o.stream = 'stdout') END AS stdout_stored, \
     CASE WHEN stderr_hash IS NOT NULL THEN (SELECT length(o.text) FROM outputs o \
       WHERE o.request_id = results.request_id AND o.stream = 'stderr') END AS stderr_stored";

/// Where a stream of output is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutputPlace {
    /// In the database: bytes from the offset that was asked for, and how many there are in all.
    Here {
        /// The piece.
        bytes: Vec<u8>,
        /// All that can be read, in bytes.
        stored_bytes: u64,
    },
    /// In the object store, which knows how many bytes there are.
    Object {
        /// Its key there.
        key: String,
    },
}

impl Store {
    /// Results that match, each with its number in the list, with how many there are.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn results_list(
        &self,
        query: &ResultQuery,
        slice: &Slice<i64>,
    ) -> Result<(Vec<(i64, ResultView)>, Count), StoreError> {
        let mut conn = self.read().await?;
        let mut select = page_of(query, slice);
        let rows = select
            .build()
            .fetch_all(&mut conn)
            .await
            .map_err(failed("list results"))?;
        let numbered = |row| Ok((Row::get(row, "result_no"), result_view(row)?));
        let rows = rows
            .iter()
            .map(numbered)
            .collect::<Result<_, StoreError>>()?;
        Ok((rows, counted(&mut conn, matching(query)).await?))
    }

    /// One result.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn result_find(&self, id: RequestId) -> Result<Option<ResultView>, StoreError> {
        let mut select =
            QueryBuilder::new(format!("SELECT {COLUMNS} FROM results WHERE request_id = "));
        select.push_bind(request_bytes(id));
        let row = select
            .build()
            .fetch_optional(&mut *self.read().await?)
            .await
            .map_err(failed("read a result"))?;
        row.as_ref().map(result_view).transpose()
    }

    /// A piece of a run's output, as bytes that may begin or end inside a character.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn result_output(
        &self,
        id: RequestId,
        stream: Stream,
        offset: u64,
        limit: u64,
    ) -> Result<Option<OutputPlace>, StoreError> {
        let mut conn = self.read().await?;
        let select = match stream {
            Stream::Stdout => {
                "SELECT stdout_object AS object, stdout AS head FROM results WHERE request_id = $1"
            }
            Stream::Stderr => {
                "SELECT stderr_object AS object, stderr AS head FROM results WHERE request_id = $1"
            }
        };
        let row = sql::query(select)
            .bind(request_bytes(id))
            .fetch_optional(&mut conn)
            .await
            .map_err(failed("read output"))?;
        let Some(row) = row else { return Ok(None) };
        let object: Option<String> = row.get("object");
        if let Some(key) = object {
            return Ok(Some(OutputPlace::Object { key }));
        }
        let (from, size) = (start(offset), i32::try_from(limit).unwrap_or(i32::MAX));
        let whole = sql::query(
            "SELECT length(text) AS size,
               substr(text, CAST($3 AS INTEGER), CAST($4 AS INTEGER)) AS piece FROM outputs
             WHERE request_id = $1 AND stream = $2",
        )
        .bind(request_bytes(id))
        .bind(stream.as_str())
        .bind(from)
        .bind(size)
        .fetch_optional(&mut conn)
        .await
        .map_err(failed("read output"))?;
        if let Some(whole) = whole {
            let stored_bytes = count(whole.get("size"));
            return Ok(Some(OutputPlace::Here {
                bytes: whole.get("piece"),
                stored_bytes,
            }));
        }
        let head: String = row.get("head");
        let stored_bytes = head.len() as u64;
        let from = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(head.len());
        let to = usize::try_from(offset.saturating_add(limit))
            .unwrap_or(usize::MAX)
            .min(head.len());
        let bytes = head.as_bytes().get(from..to).unwrap_or_default().to_vec();
        Ok(Some(OutputPlace::Here {
            bytes,
            stored_bytes,
        }))
    }

    /// Whether this run is one of this PC's.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn run_is_of(&self, id: RequestId, pc_id: &PcId) -> Result<bool, StoreError> {
        let found: Option<i64> =
            sql::query_scalar("SELECT 1 FROM targets WHERE request_id = $1 AND pc_id = $2")
                .bind(request_bytes(id))
                .bind(pc_id.as_str())
                .fetch_optional(&mut *self.read().await?)
                .await
                .map_err(failed("look for a run"))?;
        Ok(found.is_some())
    }
}

/// SQL counts from 1, and PostgreSQL with 32 bits.
fn start(offset: u64) -> i32 {
    i32::try_from(offset).unwrap_or(i32::MAX - 1) + 1
}

pub(super) fn page_of(query: &ResultQuery, slice: &Slice<i64>) -> QueryBuilder {
    let mut select = QueryBuilder::new(format!("SELECT {COLUMNS} FROM results WHERE 1 = 1"));
    filter(&mut select, query);
    if let Some(after) = slice.after {
        select
            .push(format_args!(" AND result_no {} ", slice.order.after()))
            .push_bind(after);
    }
    select.push(format_args!(
        " ORDER BY result_no {} LIMIT ",
        slice.order.word()
    ));
    select.push_bind(slice.rows());
    select
}

pub(super) fn matching(query: &ResultQuery) -> QueryBuilder {
    let mut select = count_of("results");
    filter(&mut select, query);
    select
}

fn filter(select: &mut QueryBuilder, query: &ResultQuery) {
    if let Some(id) = query.exec_id {
        select.push(" AND exec_id = ").push_bind(exec_bytes(id));
    }
    if let Some(pc_id) = &query.pc_id {
        select.push(" AND pc_id = ").push_bind(pc_id.to_string());
    }
    // An exec or a PC has few results, a job or an outcome may have most of all: written as an
    // expression, they are no reason to choose their index then.
    let few = query.exec_id.is_some() || query.pc_id.is_some();
    if let Some(job_id) = &query.job_id {
        let column = if few {
            "COALESCE(job_id, '')"
        } else {
            "job_id"
        };
        select
            .push(format_args!(" AND {column} = "))
            .push_bind(job_id.to_string());
    }
    if let Some(outcome) = query.outcome {
        let column = if few {
            "COALESCE(outcome, '')"
        } else {
            "outcome"
        };
        select
            .push(format_args!(" AND {column} = "))
            .push_bind(outcome.as_str());
    }
}

fn result_view(row: &Row) -> Result<ResultView, StoreError> {
    let code: Option<String> = row.get("reason_code");
    let text: Option<String> = row.get("reason_text");
    let job: Option<String> = row.get("job_id");
    Ok(ResultView {
        request_id: request_id(row.get("request_id"))?,
        exec_id: exec_id(row.get("exec_id"))?,
        attempt: Attempt(count(row.get("attempt"))),
        pc_id: name("results.pc_id", row.get("pc_id"))?,
        job_id: job.map(|id| name("results.job_id", &id)).transpose()?,
        outcome: outcome(row.get("outcome")),
        reason: code.map(|code| Reason {
            code,
            text: text.unwrap_or_default(),
        }),
        exit_code: row.get("exit_code"),
        tries: u32::try_from(row.get::<i64, _>("tries")).unwrap_or(0),
        started_at: row.get::<Option<i64>, _>("started_at").map(time),
        ended_at: time(row.get("ended_at")),
        stored_at: time(row.get("stored_at")),
        stdout: output_view(
            row,
            [
                "stdout",
                "stdout_total",
                "stdout_truncated",
                "stdout_object",
                "stdout_hash",
                "stdout_stored",
            ],
        ),
        stderr: output_view(
            row,
            [
                "stderr",
                "stderr_total",
                "stderr_truncated",
                "stderr_object",
                "stderr_hash",
                "stderr_stored",
            ],
        ),
    })
}

fn output_view(row: &Row, columns: [&str; 6]) -> OutputView {
    let [text, total, truncated, object, hash, stored] = columns;
    let head: String = row.get(text);
    let (total_bytes, truncated_bytes) = (count(row.get(total)), count(row.get(truncated)));
    let object: Option<String> = row.get(object);
    let hash: Option<Vec<u8>> = row.get(hash);
    let in_row = object.is_none() && hash.is_none();
    // Text is longer than the bytes that it was made of: a cut leaves a line, and what is no UTF-8
    // becomes a character of three bytes. Only the object store knows the size of what is there,
    // and a list asks it for none; a page of the output says it exactly.
    let stored_bytes = if object.is_some() {
        total_bytes.saturating_sub(truncated_bytes)
    } else {
        let stored: Option<i64> = row.get(stored);
        stored.map_or(head.len() as u64, count)
    };
    let sha256 = match hash {
        Some(hash) => Some(hex::encode(hash)),
        None => in_row.then(|| hex::encode(Sha256::digest(head.as_bytes()))),
    };
    debug_assert!(
        head.chars().count() <= HEAD_CHARS,
        "a row holds no more than the head"
    );
    OutputView {
        head,
        stored_bytes,
        total_bytes,
        truncated_bytes,
        sha256,
    }
}

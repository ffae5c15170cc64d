//! Execs: what is asked for becomes targets and a command, in one transaction.
//!
//! A POST is decided on one state of the database: who is hit, what they run, whether it was
//! asked before (idempotency key), and whether it hits exactly what a preview showed. Nothing is
//! published here; the publisher finds the exec by itself, and the nudge only saves time.

use chrono::{DateTime, Duration, Utc};
use kanade_shared::api::Page;
use kanade_shared::api::events::LiveEvent;
use kanade_shared::api::execs::{ExecQuery, ExecRequest, ExecView, ExecWhat};
use kanade_shared::id::{Attempt, ExecId, JobId, PcId};
use kanade_shared::manifest::JobRun;
use kanade_shared::wire::DOCUMENT_MAX_BYTES;
use kanade_shared::wire::command::{Command, Reach, Run, ScriptSource, Staleness};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::requests::{as_previewed, known, request_hash, scoped_key};
use super::scripts::{self, Carriers};
use super::targets::{is_everybody, resolve};
use super::{Fleet, FleetError, FleetResult, Operator, jobs, page};
use crate::changes::Topic;
use crate::store::execs::NewExec;
use crate::store::{StoreError, Tx};

/// Latest start of an exec that doesn't say one, in seconds.
pub(super) const DEADLINE_DEFAULT_S: u32 = 3_600;
/// Longest time that a latest start may be away, in seconds.
const DEADLINE_MAX_S: u32 = 90 * 24 * 3_600;
/// Largest command without its script, in bytes of JSON.
const COMMAND_MAX_BYTES: usize = 128 * 1024;
/// Longest reason, in characters.
const REASON_MAX: usize = 1_000;
/// Fewest hex digits that may stand for an exec.
const PREFIX_MIN: usize = 4;
/// Candidates that an ambiguous prefix names.
const CANDIDATES: u32 = 5;

/// What runs, however it was named.
pub(super) struct What {
    job_id: Option<JobId>,
    job_version: Option<String>,
    pub(super) run: JobRun,
    supersede: bool,
    staleness: Staleness,
}

/// Everything of a command but its script's place.
pub(super) struct Draft<'a> {
    pub(super) exec_id: ExecId,
    pub(super) attempt: Attempt,
    pub(super) job_id: Option<JobId>,
    pub(super) job_version: Option<String>,
    pub(super) reach: Reach,
    pub(super) deadline: DateTime<Utc>,
    pub(super) jitter_s: u32,
    pub(super) supersede: bool,
    pub(super) staleness: Staleness,
    pub(super) run: &'a Run,
    pub(super) wide: bool,
    pub(super) pcs: &'a [PcId],
}

impl Fleet {
    /// Execs, one page, newest first.
    ///
    /// # Errors
    /// [`FleetError::Invalid`] for a page, cursor, sort or prefix that there is not.
    pub async fn execs_list(&self, query: &ExecQuery) -> FleetResult<Page<ExecView>> {
        let asked = query.sort.as_deref().unwrap_or("-issued_at");
        let (_, order) = page::sort(Some(asked), asked, &["issued_at"])?;
        let prefix = query.prefix.as_deref().map(prefix_range).transpose()?;
        let slice = page::slice(query.limit, query.cursor.as_deref(), asked, order)?;
        let (execs, count) = self.store.execs_list(query, prefix, &slice).await?;
        Ok(page::page(execs, count, slice.limit, asked, |exec| {
            exec.exec_id
        }))
    }

    /// One exec.
    ///
    /// # Errors
    /// [`FleetError::UnknownExec`] when there is none.
    pub async fn exec_fetch(&self, exec_id: ExecId) -> FleetResult<ExecView> {
        let exec = self.store.exec_find(exec_id).await?;
        exec.ok_or_else(|| FleetError::UnknownExec {
            exec: exec_id.to_string(),
        })
    }

    /// The exec whose id begins with these hex digits, at least four.
    ///
    /// # Errors
    /// [`FleetError`] when there is none, or several.
    pub async fn exec_resolve(&self, prefix: &str) -> FleetResult<ExecId> {
        let (first, last) = prefix_range(prefix)?;
        let found = self.store.exec_ids_between(first, last, CANDIDATES).await?;
        match found.as_slice() {
            [] => Err(FleetError::UnknownExec {
                exec: format!("`{prefix}`"),
            }),
            [one] => Ok(*one),
            [..] => Err(FleetError::AmbiguousExec {
                prefix: format!("`{prefix}`"),
                candidates: found,
            }),
        }
    }

    /// Stores an exec with its targets; the flag says that the key's request had already done so.
    ///
    /// # Errors
    /// [`FleetError`] for a request that is wrong, targets that are nobody or not those of the
    /// preview, a key of another request, or a broker whose commands are nearly full.
    pub async fn exec_issue(
        &self,
        request: &ExecRequest,
        idempotency_key: Option<&str>,
        by: &Operator,
    ) -> FleetResult<(ExecView, bool)> {
        check(request)?;
        let key = idempotency_key.map(|key| scoped_key(key, by)).transpose()?;
        let hash = request_hash(request)?;
        let mut tx = self.store.begin().await?;
        if let Some(known) = known(&mut tx, key.as_deref(), &hash).await? {
            drop(tx);
            return Ok((self.exec_fetch(known).await?, true));
        }
        self.room.admit()?;
        let exec_id = ExecId::new(tx.now(), random()?);
        let (change, bytes) = issue(&mut tx, exec_id, request, &hash, by).await?;
        self.room.reserve(bytes)?;
        if let Some(key) = &key {
            tx.idempotency_insert(key, &hash, exec_id).await?;
        }
        tx.commit().await?;
        self.publisher.nudge();
        let exec = self.exec_fetch(exec_id).await?;
        self.tell_exec(change, &exec);
        Ok((exec, false))
    }

    /// Tells listeners how an exec is now.
    pub(super) fn tell_exec(&self, change: u64, exec: &ExecView) {
        let topics = [Topic::Execs, Topic::Exec(exec.exec_id)];
        let wanted = topics.into_iter().filter(|topic| self.changes.wants(topic));
        let event = |topic| {
            (
                topic,
                LiveEvent::Exec {
                    exec: Box::new(exec.clone()),
                },
            )
        };
        self.changes.publish(change, wanted.map(event).collect());
    }
}

/// Gives the number of the change, and what the exec will take in the broker, in bytes.
async fn issue(
    tx: &mut Tx,
    exec_id: ExecId,
    request: &ExecRequest,
    hash: &[u8],
    by: &Operator,
) -> FleetResult<(u64, u64)> {
    let what = what(tx, &request.what).await?;
    let (now, reach) = (tx.now(), request.reach.unwrap_or(Reach::Fixed));
    let deadline = deadline(request.deadline_s, now)?;
    let jitter_s = jitter(request.jitter_s, &what.run, request.deadline_s)?;
    let pcs = resolve(tx, &request.targets).await?;
    if pcs.is_empty() && reach == Reach::Fixed {
        return Err(FleetError::NoTargets);
    }
    if let Some(token) = &request.preview {
        as_previewed(tx, token, hash, &pcs).await?;
    }
    // While the broker may know PCs that the database does not, a fixed exec names its own.
    let behind = tx.meta("behind_since").await?.is_some();
    let wide = is_everybody(&request.targets) && (reach == Reach::Open || !behind);
    let run = scripts::run_of(&what.run);
    let title = scripts::title(&what.run.script);
    let exec = NewExec {
        exec_id,
        job_id: what.job_id.as_ref(),
        job_version: what.job_version.as_deref(),
        title: &title,
        reach,
        targets: &request.targets,
        run: &run,
        issued_by: &by.account_id,
        issued_at: now,
        deadline,
        reason: request.reason.as_deref(),
        joins_until: (reach == Reach::Open).then_some(deadline),
        ended_at: None,
        count: pcs.len() as u64,
    };
    tx.exec_insert(&exec).await?;
    tx.targets_issue(exec_id, Attempt::FIRST, wide, &pcs)
        .await?;
    let detail = audit_detail(request, &what, &title, pcs.len(), deadline);
    let draft = Draft {
        exec_id,
        attempt: Attempt::FIRST,
        job_id: what.job_id,
        job_version: what.job_version,
        reach,
        deadline,
        jitter_s,
        supersede: what.supersede,
        staleness: what.staleness,
        run: &run,
        wide,
        pcs: &pcs,
    };
    let bytes = command(tx, draft).await?;
    tx.audit_insert(&by.account_id, "exec.issue", &exec_id.to_string(), &detail)
        .await?;
    Ok((tx.next_change(), bytes))
}

/// What the audit log keeps of an exec; never its script, which may hold secrets.
fn audit_detail(
    request: &ExecRequest,
    what: &What,
    title: &str,
    count: usize,
    deadline: DateTime<Utc>,
) -> serde_json::Value {
    const NAMES: usize = 100;
    let mut targets = request.targets.clone();
    targets.pcs.truncate(NAMES);
    targets.not_pcs.truncate(NAMES);
    json!({
        "job_id": what.job_id,
        "job_version": what.job_version,
        "title": title,
        "script_sha256": hex::encode(Sha256::digest(what.run.script.as_bytes())),
        "targets": targets,
        "count": count,
        "reach": request.reach.unwrap_or(Reach::Fixed),
        "deadline": deadline,
        "reason": request.reason,
    })
}

/// What a message takes in the broker besides its payload, about, in bytes.
const MESSAGE_BYTES: u64 = 256;

/// Stores what PCs are told, and its script when it travels apart; gives what both will take in
/// the broker, in bytes.
pub(super) async fn command(tx: &mut Tx, draft: Draft<'_>) -> FleetResult<u64> {
    let carriers = Carriers {
        documents: if draft.wide { 1 } else { draft.pcs.len() },
        fullest_bytes: fullest_document(tx, draft.wide, draft.pcs).await?,
    };
    let (run, sealed) = scripts::place(draft.run, carriers, random()?);
    let command = Command {
        exec_id: draft.exec_id,
        attempt: draft.attempt,
        job_id: draft.job_id,
        job_version: draft.job_version,
        reach: draft.reach,
        issued_at: tx.now(),
        deadline: draft.deadline,
        jitter_s: draft.jitter_s,
        supersede: draft.supersede,
        staleness: draft.staleness,
        run,
    };
    let json = serde_json::to_string(&command)
        .map_err(|error| FleetError::invalid("what", format!("has no JSON: {error}")))?;
    small_enough(
        "the command without its script",
        json.len() as u64,
        COMMAND_MAX_BYTES,
    )?;
    let document = carriers.fullest_bytes + json.len() as u64 + 1024;
    small_enough("the commands of one PC", document, DOCUMENT_MAX_BYTES)?;
    if let Some(sealed) = &sealed {
        let expires_at = command.over_at() + Duration::hours(1);
        tx.body_insert(&sealed.sha256, &sealed.bytes, expires_at)
            .await?;
    }
    let body = match &command.run.script {
        ScriptSource::Body(body) => Some(body.sha256.as_str()),
        ScriptSource::Inline { .. } | ScriptSource::Https(_) => None,
    };
    tx.command_insert(&command, &json, draft.wide, body).await?;
    let apart = sealed.filter(|_| body.is_some());
    let apart = apart.map_or(0, |sealed| sealed.bytes.len() as u64 + MESSAGE_BYTES);
    let each = json.len() as u64 + MESSAGE_BYTES;
    Ok(apart + each.saturating_mul(carriers.documents as u64))
}

/// How full the fullest document is that a command goes into. For many PCs the sum of all own
/// commands is asked first, which is enough while it is small.
async fn fullest_document(tx: &mut Tx, wide: bool, pcs: &[PcId]) -> Result<u64, StoreError> {
    let all = tx.commands_size(wide).await?;
    let small = (kanade_shared::wire::INLINE_DOCUMENT_MAX_BYTES / 2) as u64;
    if wide || all <= small {
        Ok(all)
    } else {
        tx.documents_size(pcs).await
    }
}

fn small_enough(what: &str, bytes: u64, limit: usize) -> FleetResult<()> {
    let limit_bytes = limit as u64;
    if bytes <= limit_bytes {
        return Ok(());
    }
    Err(FleetError::TooLarge {
        what: what.to_owned(),
        bytes,
        limit_bytes,
    })
}

/// Every rule of a request that needs no look into the database.
pub(super) fn check(request: &ExecRequest) -> FleetResult<()> {
    if let ExecWhat::Script(run) = &request.what {
        let wrong = run.check();
        if !wrong.is_empty() {
            return Err(FleetError::Definition {
                object: "the script".to_owned(),
                wrong,
            });
        }
    }
    let grows = request.targets.all || !request.targets.groups.is_empty();
    if request.reach == Some(Reach::Open) && !grows {
        let what = "is `open`, but only PCs are named: name a group or all, which others may join";
        return Err(FleetError::invalid("reach", what));
    }
    reason(request.reason.as_deref())
}

pub(super) fn reason(reason: Option<&str>) -> FleetResult<()> {
    if reason.is_some_and(|reason| reason.chars().count() > REASON_MAX) {
        return Err(FleetError::invalid(
            "reason",
            format!("is over {REASON_MAX} characters"),
        ));
    }
    Ok(())
}

pub(super) fn deadline(asked: Option<u32>, now: DateTime<Utc>) -> FleetResult<DateTime<Utc>> {
    let seconds = asked.unwrap_or(DEADLINE_DEFAULT_S);
    if !(1..=DEADLINE_MAX_S).contains(&seconds) {
        return Err(FleetError::invalid(
            "deadline_s",
            "must be 1 second to 90 days",
        ));
    }
    Ok(now + Duration::seconds(i64::from(seconds)))
}

pub(super) fn jitter(
    asked: Option<u32>,
    run: &JobRun,
    deadline_s: Option<u32>,
) -> FleetResult<u32> {
    let seconds = asked.unwrap_or(run.jitter);
    if seconds >= deadline_s.unwrap_or(DEADLINE_DEFAULT_S) {
        let what = "must be shorter than the time until the deadline";
        return Err(FleetError::invalid("jitter_s", what));
    }
    Ok(seconds)
}

pub(super) async fn what(tx: &mut Tx, what: &ExecWhat) -> FleetResult<What> {
    let job_id = match what {
        ExecWhat::Script(run) => {
            return Ok(What {
                job_id: None,
                job_version: None,
                run: run.clone(),
                supersede: false,
                staleness: Staleness::default(),
            });
        }
        ExecWhat::Job(job_id) => job_id,
    };
    let job = tx.job_find(job_id).await?.and_then(|job| job.job);
    let Some(job) = job else {
        return Err(jobs::unknown(tx, job_id, Some("what.job")).await?);
    };
    Ok(What {
        job_id: Some(job.id),
        job_version: Some(job.version),
        run: job.run,
        supersede: job.supersede,
        staleness: job.staleness,
    })
}

/// First and last id that begin so.
fn prefix_range(prefix: &str) -> FleetResult<(ExecId, ExecId)> {
    let digits = prefix.replace('-', "").to_ascii_lowercase();
    let hex = digits.chars().all(|c| c.is_ascii_hexdigit());
    if !hex || !(PREFIX_MIN..=32).contains(&digits.len()) {
        return Err(FleetError::invalid("exec", "must be 4 to 32 hex digits"));
    }
    let parse = |fill: &str| {
        let text = format!("{digits}{}", fill.repeat(32 - digits.len()));
        ExecId::parse(&text).map_err(|error| FleetError::invalid("exec", error.to_string()))
    };
    Ok((parse("0")?, parse("f")?))
}

/// Random bytes of the operating system.
pub(super) fn random<const N: usize>() -> FleetResult<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| FleetError::Random {
        what: error.to_string(),
    })?;
    Ok(bytes)
}

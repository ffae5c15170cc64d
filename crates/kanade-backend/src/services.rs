//! What agents ask the backend, and what the backend asks agents for an operator.
//!
//! `svc.time.P` answers with the fleet's time and with what was heard of the PC's journal and of
//! runs that a young journal asks for. [`Tails`] opens the live output of a run and forwards what
//! comes to the listeners.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::Message;
use chrono::Utc;
use futures::StreamExt;
use kanade_shared::api::events::LiveEvent;
use kanade_shared::id::{JournalId, PcId, RequestId};
use kanade_shared::subject;
use kanade_shared::wire::agent::{
    Heard, HeardState, TailChunk, TailRequest, TimeReply, TimeRequest,
};
use tokio::time::Instant;

use crate::changes::Topic;
use crate::flow::Flow;
use crate::presence::collision::Claim;
use crate::store::StoreError;
use crate::store::positions::DeadLetter;
use crate::store::presence::HeardTarget;
use crate::store::recovery::Behind;
use crate::tasks::Stop;

/// Requests that are answered at a time.
const ANSWERS_AT_ONCE: usize = 64;
/// Runs that one request may ask for.
const ASKED_MAX: usize = 1_000;
/// How long an agent goes on sending after it was asked, in seconds.
const FOLLOW_S: u32 = 60;
/// How long an agent may take to answer.
const ANSWER_TIME: Duration = Duration::from_secs(5);
/// The word of a connection may come this much later than the first request over it.
const CONNECT_ON_ITS_WAY: Duration = Duration::from_millis(300);
/// The word of an ended connection may come this much later than the agent that follows; together
/// well within the time that an agent waits for an answer.
const DISCONNECT_ON_ITS_WAY: Duration = Duration::from_secs(1);
/// How often it is looked for.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Bad requests that are put aside per minute.
const DEAD_LETTERS_PER_MINUTE: u32 = 10;

/// Why a loop ended.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// There is no subscription.
    #[error("could not listen to `{subject}`")]
    Subscribe {
        /// To what.
        subject: &'static str,
        /// What the client said.
        #[source]
        source: async_nats::SubscribeError,
    },
    /// The subscription ended by itself.
    #[error("the subscription to `{subject}` ended")]
    Ended {
        /// To what.
        subject: &'static str,
    },
}

/// What may be said of a run, for a journal that asks whether it may run it. `behind` and
/// `caught_up` say whether this database can promise that it heard nothing.
#[must_use]
pub fn heard(target: Option<&HeardTarget>, behind: Option<&Behind>, caught_up: bool) -> HeardState {
    let Some(target) = target else {
        return HeardState::Unknown;
    };
    if target.ended {
        return HeardState::Ended;
    }
    if target.begun {
        return HeardState::Begun;
    }
    // What was heard in the time that the database lost is not known. A PC that enrolled after
    // that time had no earlier journal: those that had are known by their desired documents.
    let lost = behind.is_some_and(|behind| {
        target.enrolled_at <= behind.since && target.issued_at.is_none_or(|at| at <= behind.since)
    });
    if lost || !caught_up {
        return HeardState::Unknown;
    }
    HeardState::Nothing
}

/// Answers `svc.time.P` until `stop`.
///
/// # Errors
/// [`ServiceError`]; agents ask again.
pub async fn time(flow: Flow, stop: Stop) -> Result<(), ServiceError> {
    let subject = "svc.time.*";
    let requests = flow
        .client
        .queue_subscribe(subject, "backend".into())
        .await
        .map_err(|source| ServiceError::Subscribe { subject, source })?;
    let letters = Arc::new(Mutex::new((Instant::now(), 0_u32)));
    let answering = requests.for_each_concurrent(ANSWERS_AT_ONCE, |message| {
        let (flow, letters) = (flow.clone(), letters.clone());
        async move {
            if let Err(error) = answer(&flow, &message, &letters).await {
                tracing::warn!(%error, "could not answer a request for the time");
            }
        }
    });
    tokio::select! {
        () = answering => Err(ServiceError::Ended { subject }),
        () = stop.cancelled() => Ok(()),
    }
}

async fn answer(
    flow: &Flow,
    message: &Message,
    letters: &Mutex<(Instant, u32)>,
) -> Result<(), StoreError> {
    let Some(reply) = message.reply.clone() else {
        return Ok(());
    };
    let pc_id = message.subject.strip_prefix("svc.time.").map(PcId::parse);
    let request = serde_json::from_slice::<TimeRequest>(&message.payload);
    let (Some(Ok(pc_id)), Ok(mut request)) = (pc_id, request) else {
        return put_aside(flow, message, letters).await;
    };
    request.ask.truncate(ASKED_MAX);
    let journal = flow.store.journal_find(&pc_id).await?;
    let stored = journal.as_ref().and_then(|journal| journal.journal_id);
    let refused = match request.journal_id {
        Some(asks) => refused(flow, &pc_id, asks, stored).await,
        None => None,
    };
    let heard = runs_heard(flow, &pc_id, request.ask).await?;
    let answer = TimeReply {
        nonce: request.nonce,
        now: Utc::now(),
        journal_id: journal.as_ref().and_then(|journal| journal.journal_id),
        journal_counter: journal.map_or(0, |journal| journal.counter),
        heard,
        refused,
    };
    if let Ok(json) = serde_json::to_vec(&answer)
        && let Err(error) = flow.client.publish(reply, json.into()).await
    {
        tracing::debug!(%error, "could not send the time");
    }
    Ok(())
}

/// Why an agent may not act under this id, if another one holds it. Agent and connection are told
/// by different messages, so a doubt waits for those that are on their way.
async fn refused(
    flow: &Flow,
    pc_id: &PcId,
    asks: JournalId,
    stored: Option<JournalId>,
) -> Option<String> {
    let collisions = &flow.counters.collisions;
    let claim = || collisions.claim(pc_id, asks, stored, Utc::now());
    if claim() == Claim::Holds {
        return None;
    }
    tokio::time::sleep(CONNECT_ON_ITS_WAY).await;
    let until = Instant::now() + DISCONNECT_ON_ITS_WAY;
    loop {
        match claim() {
            Claim::Holds => return None,
            Claim::Held { crowded: false } => {
                collisions.hand_over(pc_id, asks, Utc::now());
                return None;
            }
            Claim::Held { crowded: true } if Instant::now() < until => {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            Claim::Held { crowded: true } => return Some(collisions.refuse(pc_id, Utc::now())),
        }
    }
}

async fn runs_heard(
    flow: &Flow,
    pc_id: &PcId,
    ask: Vec<RequestId>,
) -> Result<Vec<Heard>, StoreError> {
    if ask.is_empty() {
        return Ok(Vec::new());
    }
    // Before the targets: what is stored while they are read is then not promised away.
    let streams = [&flow.counters.results, &flow.counters.events];
    let caught_up = streams
        .iter()
        .all(|stream| stream.caught_up.get() == 1 && stream.lag.get() == 0);
    let behind = flow.store.behind().await?;
    let targets = flow.store.targets_heard(pc_id, &ask).await?;
    let heard = ask.into_iter().map(|request_id| Heard {
        request_id,
        state: heard(targets.get(&request_id), behind.as_ref(), caught_up),
    });
    Ok(heard.collect())
}

async fn put_aside(
    flow: &Flow,
    message: &Message,
    letters: &Mutex<(Instant, u32)>,
) -> Result<(), StoreError> {
    if !room(&mut lock(letters)) {
        return Ok(());
    }
    let why = "it is not a request for the time";
    let letter = DeadLetter::new("", 0, &message.subject, why, &message.payload);
    let mut tx = flow.store.begin().await?;
    tx.dead_letters_insert(&[letter]).await?;
    flow.counters.core_dead_letters.add(1);
    tx.commit().await
}

fn room(letters: &mut (Instant, u32)) -> bool {
    if letters.0.elapsed().as_secs() >= 60 {
        *letters = (Instant::now(), 0);
    }
    letters.1 += 1;
    letters.1 <= DEAD_LETTERS_PER_MINUTE
}

/// Why the output of a run cannot be watched live.
#[derive(Debug, thiserror::Error)]
pub enum TailError {
    /// No such run.
    #[error("run {0} is not known")]
    UnknownRun(RequestId),
    /// Its PC does not answer.
    #[error("`{pc_id}` does not answer, so run {run} cannot be watched live")]
    NoAnswer {
        /// The PC.
        pc_id: PcId,
        /// The run.
        run: RequestId,
        /// What the broker or the connection said.
        #[source]
        source: Option<async_nats::RequestError>,
    },
    /// Its PC does not have it.
    #[error("`{pc_id}` does not have run {run} any more; its result has its output")]
    Gone {
        /// The PC.
        pc_id: PcId,
        /// The run.
        run: RequestId,
    },
    /// The database did not answer.
    #[error("could not look up run {run}")]
    Store {
        /// The run.
        run: RequestId,
        /// What the database said.
        #[source]
        source: StoreError,
    },
}

impl TailError {
    /// Stable code for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownRun(_) => "run.unknown",
            Self::NoAnswer { .. } => "run.no_answer",
            Self::Gone { .. } => "run.gone",
            Self::Store { source, .. } => source.code(),
        }
    }
}

/// Live outputs that are being watched; clones share them.
#[derive(Clone, Default)]
pub struct Tails(Arc<Mutex<HashMap<RequestId, (PcId, Instant)>>>);

impl Tails {
    /// Asks the PC of this run for its output so far, which goes to the listeners of the run's
    /// topic at once, and for more as it is written. To be asked again within a minute, as long
    /// as somebody watches.
    ///
    /// # Errors
    /// [`TailError`] says whether the run, its PC or an answer is missing.
    pub async fn tail_open(&self, flow: &Flow, run: RequestId) -> Result<(), TailError> {
        let pc_id = flow.store.run_pc(run).await;
        let pc_id = pc_id.map_err(|source| TailError::Store { run, source })?;
        let pc_id = pc_id.ok_or(TailError::UnknownRun(run))?;
        let until = Instant::now() + Duration::from_secs(FOLLOW_S.into()) + ANSWER_TIME;
        // Before the request: what follows may come before the answer.
        lock(&self.0).insert(run, (pc_id.clone(), until));
        let request = TailRequest {
            request_id: run,
            follow_s: FOLLOW_S,
        };
        let no_answer = |source| TailError::NoAnswer {
            pc_id: pc_id.clone(),
            run,
            source,
        };
        let json = serde_json::to_vec(&request).unwrap_or_default();
        let subject = subject::agent_request(&pc_id, "tail");
        let asked = flow.client.request(subject, json.into());
        let answer = match tokio::time::timeout(ANSWER_TIME, asked).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(no_answer(Some(error))),
            Err(_) => return Err(no_answer(None)),
        };
        let chunk: Option<TailChunk> = serde_json::from_slice(&answer.payload).ok();
        match chunk.filter(|chunk| chunk.found && chunk.request_id == run) {
            Some(chunk) => {
                forward(flow, chunk);
                Ok(())
            }
            None => {
                lock(&self.0).remove(&run);
                Err(TailError::Gone { pc_id, run })
            }
        }
    }

    /// Whether this PC's output of this run is being watched.
    fn watched(&self, pc_id: &str, run: RequestId) -> bool {
        let mut tails = lock(&self.0);
        let now = Instant::now();
        tails.retain(|_, (_, until)| *until > now);
        tails.get(&run).is_some_and(|(pc, _)| pc.as_str() == pc_id)
    }
}

/// Forwards live output to its listeners until `stop`.
///
/// # Errors
/// [`ServiceError`]; what comes meanwhile is in the result.
pub async fn tails(flow: Flow, tails: Tails, stop: Stop) -> Result<(), ServiceError> {
    let subject = "tail.*.*";
    let mut chunks = flow
        .client
        .subscribe(subject)
        .await
        .map_err(|source| ServiceError::Subscribe { subject, source })?;
    loop {
        let message = tokio::select! {
            message = chunks.next() => message.ok_or(ServiceError::Ended { subject })?,
            () = stop.cancelled() => return Ok(()),
        };
        let mut tokens = message.subject.split('.').skip(1);
        let (Some(pc_id), Some(run)) = (tokens.next(), tokens.next()) else {
            continue;
        };
        let Ok(run) = RequestId::parse(run) else {
            continue;
        };
        if !tails.watched(pc_id, run) {
            continue;
        }
        let chunk: Option<TailChunk> = serde_json::from_slice(&message.payload).ok();
        if let Some(chunk) = chunk.filter(|chunk| chunk.request_id == run) {
            forward(&flow, chunk);
        }
    }
}

fn forward(flow: &Flow, chunk: TailChunk) {
    let topic = Topic::Tail(chunk.request_id);
    let event = LiveEvent::Tail { chunk };
    flow.changes.publish_live(vec![(topic, event)]);
}

/// What is behind these locks is right after every statement.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::projector::rules::tests::at;

    #[test]
    fn a_young_journal_gets_a_promise_only_from_a_database_that_heard_everything() {
        let target = |begun, ended| HeardTarget {
            issued_at: Some(at(5)),
            enrolled_at: at(1),
            begun,
            ended,
        };
        let fresh = target(false, false);
        assert_eq!(heard(Some(&fresh), None, true), HeardState::Nothing);
        assert_eq!(heard(Some(&fresh), None, false), HeardState::Unknown);
        let behind = Behind {
            from: at(0),
            since: at(9),
        };
        assert_eq!(
            heard(Some(&fresh), Some(&behind), true),
            HeardState::Unknown
        );
        let new_here = HeardTarget {
            enrolled_at: at(10),
            ..fresh
        };
        assert_eq!(
            heard(Some(&new_here), Some(&behind), true),
            HeardState::Nothing
        );
        let before = Behind {
            from: at(0),
            since: at(4),
        };
        assert_eq!(
            heard(Some(&fresh), Some(&before), true),
            HeardState::Nothing
        );
        let begun = target(true, false);
        assert_eq!(heard(Some(&begun), Some(&behind), false), HeardState::Begun);
        assert_eq!(
            heard(Some(&target(true, true)), None, true),
            HeardState::Ended
        );
        assert_eq!(heard(None, None, true), HeardState::Unknown);
    }
}

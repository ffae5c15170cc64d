//! Performs the core's effects: what would be written is remembered by the core itself, and what
//! would be run is drawn from the behaviour.

use std::sync::Arc;

use kanade_agent::link::document::OpenCommands;
use kanade_agent::link::read;
use kanade_agent_core::{Effect, Mono, RunEnd};
use kanade_shared::id::{JobId, RequestId};
use kanade_shared::subject;
use kanade_shared::wire::command::{Command, ScriptSource};
use kanade_shared::wire::inventory::HARDWARE;
use kanade_shared::wire::result::{Outcome, Reason};

use super::{Agent, Run, hardware};
use crate::figures::more;
use crate::outbox::{self, Kept, Parcel, Way};
use crate::shard::{Context, Due, Happening, Shared};

impl Agent {
    /// Performs everything that the core wants done, until it wants nothing more.
    pub(super) fn perform_all(&mut self, context: &mut Context<'_>) {
        loop {
            if let Some(core) = &mut self.core {
                self.effects.extend(core.take_effects());
            }
            let Some(effect) = self.effects.pop_front() else {
                return;
            };
            self.perform(effect, context);
        }
    }

    fn perform(&mut self, effect: Effect, context: &mut Context<'_>) {
        let now = Mono(context.now);
        match effect {
            // The core has it, and that is the disk.
            Effect::WriteMeta(_)
            | Effect::WriteEntry(_)
            | Effect::WriteHeld { .. }
            | Effect::WriteDesired(_)
            | Effect::WriteBrake(_)
            | Effect::KillLeftovers { .. } => {}
            Effect::RemoveEntry(request_id) => self.outbox.forget(request_id),
            Effect::StoreResult(result) => {
                let run = self.written.remove(&result.request_id);
                self.outbox.store(Kept {
                    result: *result,
                    stdout_bytes: run.map_or(0, |run| run.stdout_bytes),
                    cap_bytes: run.map_or(0, |run| run.cap_bytes),
                });
            }
            Effect::SendAgain(request_id) => self.outbox.again(request_id),
            Effect::Send(request_id) => self.outbox.release(request_id),
            Effect::FetchScript(request_id, command) => {
                self.fetch_script(request_id, *command, context);
            }
            Effect::Prepare(request_id) => {
                if let Some(core) = &mut self.core {
                    core.handle_prepared(request_id, now);
                }
            }
            Effect::Spawn(request_id, command) => self.spawn_run(request_id, &command, context),
            Effect::Release(request_id) => self.release_run(request_id, context),
            Effect::Kill(request_id) => self.kill_run(request_id, context),
            Effect::DropOutput(request_id) => {
                self.written.remove(&request_id);
            }
            Effect::Ask(request_id) => self.ask(request_id, context),
            Effect::SendStarted(started) => {
                if let Ok(payload) = serde_json::to_vec(&started) {
                    let subject = subject::event(&self.pc.pc_id, subject::EVENT_STARTED);
                    let delay = self.outward_delay(context);
                    self.spawn(move |client| async move {
                        delay.await;
                        // Telemetry: a real agent drops it, too, when its queue is full.
                        let sent = outbox::stored(&client, "EVENTS", subject, payload.into());
                        let _ = sent.await;
                    });
                }
            }
            Effect::Beat => self.pulse.hurry(context.instant),
            Effect::ReadAll => self.read_all(context),
        }
    }

    fn spawn_run(&mut self, request_id: RequestId, command: &Command, context: &Context<'_>) {
        let number = self.run_count;
        self.run_count += 1;
        more(&context.shared.figures.runs);
        let script = context.shared.behaviour.run(self.pc.number, number);
        let run = Run {
            number,
            stdout_bytes: script.output_bytes,
            takes_ms: script.takes_ms,
            fails: script.fails,
            timeout_ms: u64::from(command.run.timeout_s.max(1)) * 1000,
            cap_bytes: command.run.output_cap_bytes,
        };
        self.runs.insert(request_id, run);
        if let Some(core) = &mut self.core {
            let mark = serde_json::json!({ "simulated": number });
            core.handle_spawned(request_id, mark, Mono(context.now));
        }
    }

    fn release_run(&mut self, request_id: RequestId, context: &mut Context<'_>) {
        let Some(run) = self.runs.get(&request_id).copied() else {
            return;
        };
        match run.takes_ms.min(run.timeout_ms) {
            0 => self.run_ends(request_id, run.number, context),
            takes_ms => {
                let due = Due::RunEnds(request_id, run.number);
                let at = context.now + takes_ms;
                context.timers.add(at, (self.place, due));
            }
        }
    }

    pub(super) fn run_ends(&mut self, id: RequestId, number: u64, context: &mut Context<'_>) {
        let Some(run) = self.runs.get(&id).filter(|run| run.number == number) else {
            return;
        };
        let (outcome, exit_code) = match (run.takes_ms > run.timeout_ms, run.fails) {
            (true, _) => (Outcome::TimedOut, None),
            (false, true) => (Outcome::Failed, Some(1)),
            (false, false) => (Outcome::Ok, Some(0)),
        };
        let reason = (outcome == Outcome::TimedOut).then(|| {
            let text = format!("still ran after {} s", run.timeout_ms / 1000);
            Reason::new("run.timed_out", text)
        });
        self.end_run(id, outcome, reason, exit_code, context);
    }

    fn kill_run(&mut self, request_id: RequestId, context: &mut Context<'_>) {
        let (outcome, reason) = if self.stopping {
            let reason = Reason::new("agent.stopped", "the simulated agent was stopped");
            (Outcome::Interrupted, reason)
        } else {
            let reason = Reason::new("run.killed", "an operator stopped it");
            (Outcome::Killed, reason)
        };
        self.end_run(request_id, outcome, Some(reason), None, context);
    }

    fn end_run(
        &mut self,
        request_id: RequestId,
        outcome: Outcome,
        reason: Option<Reason>,
        exit_code: Option<i32>,
        context: &Context<'_>,
    ) {
        let Some(run) = self.runs.remove(&request_id) else {
            return;
        };
        self.written.insert(request_id, run);
        let end = RunEnd {
            outcome,
            reason,
            exit_code,
        };
        if let Some(core) = &mut self.core {
            core.handle_ended(request_id, end, Mono(context.now));
        }
    }

    fn read_all(&mut self, context: &mut Context<'_>) {
        let Some(journal_id) = self.core.as_ref().map(kanade_agent_core::Core::journal_id) else {
            return;
        };
        let (pc_id, to_shard) = (self.pc.pc_id.clone(), self.to_shard(context));
        let documents: Arc<dyn OpenCommands> = context.shared.documents.clone();
        let delay = self.outward_delay(context);
        let before = self.connection.as_mut().and_then(|it| it.reader.take());
        if let Some(before) = before {
            before.abort();
        }
        let reader = self.spawn(move |client| async move {
            delay.await;
            read::all(client, pc_id, journal_id, documents, to_shard).await;
        });
        if let Some(connection) = &mut self.connection {
            connection.reader = reader;
        }
    }

    /// Sends what was released, as far as the queue allows.
    pub(super) fn send_results(&mut self, context: &mut Context<'_>) {
        while self.client().is_some() {
            let Some(kept) = self.outbox.take_next(context.instant) else {
                return;
            };
            let request_id = kept.result.request_id;
            let Ok(parcel) = Parcel::pack(kept, &context.shared.text) else {
                return;
            };
            let (blobs, to_shard) = (context.shared.blobs.clone(), self.to_shard(context));
            let delay = self.outward_delay(context);
            self.spawn(move |client| async move {
                delay.await;
                let sent = parcel.send(Way { client, blobs }).await;
                if let Err(error) = &sent {
                    tracing::debug!(%request_id, %error, "result not acknowledged");
                }
                to_shard.happened(Happening::Sent(request_id, sent.is_ok()));
            });
        }
    }

    /// Without a connection it is told at the next one.
    pub(super) fn tell_hardware(&mut self, context: &mut Context<'_>) {
        let facts = hardware::of(&self.pc);
        let (Ok(payload), Ok(job_id)) = (serde_json::to_vec(&facts), JobId::parse(HARDWARE)) else {
            return;
        };
        let subject = subject::inventory(&self.pc.pc_id, &job_id);
        let to_shard = self.to_shard(context);
        let delay = self.outward_delay(context);
        self.tells_hardware = true;
        self.spawn(move |client| async move {
            delay.await;
            let stored = outbox::stored(&client, "INVENTORY", subject, payload.into()).await;
            to_shard.happened(Happening::Told(stored.is_ok()));
        });
    }

    fn fetch_script(&mut self, id: RequestId, command: Command, context: &mut Context<'_>) {
        let (shared, to_shard) = (Arc::clone(context.shared), self.to_shard(context));
        let delay = self.outward_delay(context);
        let script = command.run.script;
        let fetching = self.spawn(move |client| async move {
            delay.await;
            let got = fetch(&client, &script, &shared).await;
            to_shard.happened(Happening::Script(id, got));
        });
        if fetching.is_none() {
            let why = Reason::new("script.fetch", "there is no connection to the broker");
            self.to_shard(context)
                .happened(Happening::Script(id, Err((why, true))));
        }
    }

    fn ask(&mut self, request_id: RequestId, context: &mut Context<'_>) {
        let Some(journal_id) = self.core.as_ref().map(kanade_agent_core::Core::journal_id) else {
            return;
        };
        let (pc_id, to_shard) = (self.pc.pc_id.clone(), self.to_shard(context));
        let delay = self.outward_delay(context);
        let asking = self.spawn(move |client| async move {
            delay.await;
            let subject = subject::result(&pc_id, request_id);
            let runs = [request_id];
            let (result, time) = tokio::join!(
                read::try_newest(&client, subject::RESULTS_STREAM, &subject),
                read::try_time(&client, &pc_id, journal_id, &runs),
            );
            let reply = time.filter(|reply| reply.refused.is_none());
            let heard = reply.and_then(|reply| {
                let of_run =
                    |heard: &kanade_shared::wire::agent::Heard| heard.request_id == request_id;
                reply.heard.into_iter().find(of_run)
            });
            let (found, heard) = (result.map(|found| found.is_some()), heard.map(|h| h.state));
            to_shard.happened(Happening::Asked(request_id, found, heard));
        });
        if asking.is_none() {
            self.to_shard(context)
                .happened(Happening::Asked(request_id, None, None));
        }
    }
}

/// Gets a script as a real agent does, and checks it.
async fn fetch(
    client: &async_nats::Client,
    script: &ScriptSource,
    shared: &Shared,
) -> Result<(), (Reason, bool)> {
    let again = |text: &str| (Reason::new("script.fetch", text), true);
    let (bytes, body) = match script {
        ScriptSource::Inline { .. } => return Ok(()),
        ScriptSource::Body(body) => {
            let subject = subject::body(&body.sha256);
            match read::try_newest(client, subject::EXEC_STREAM, &subject).await {
                Some(Some(stored)) => (stored.payload.to_vec(), body),
                Some(None) => return Err(again("the broker does not have the script")),
                None => return Err(again("the broker did not answer")),
            }
        }
        ScriptSource::Https(body) => match shared.blobs.get_body(body).await {
            Ok(bytes) => (bytes, body),
            Err(error) => {
                let reason = Reason::new("script.fetch", error.sentence());
                return Err((reason, !error.is_final()));
            }
        },
    };
    shared
        .bodies
        .check(&bytes, body)
        .map_err(|error| (Reason::new("script.open", error.to_string()), false))
}

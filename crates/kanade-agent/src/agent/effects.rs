//! Performs the core's effects, strictly in order.
//!
//! A write is on disk before the next effect begins. What the core decides meanwhile stands behind
//! what was decided before.

use std::sync::Arc;

use kanade_agent_core::Effect;
use kanade_shared::id::RequestId;
use kanade_shared::subject;
use kanade_shared::wire::command::Command;
use kanade_shared::wire::result::RunResult;
use tokio::time::Instant;

use super::{Agent, Event, open_commands};
use crate::data::DataError;
use crate::data::held::HeldDocument;
use crate::exec::StopKind;
use crate::link::document::OpenEach;
use crate::link::read;
use crate::platform::ProcessMark;
use crate::{blocking, clock};

impl Agent {
    /// Performs everything that the core wants done, until it wants nothing more.
    pub(super) async fn perform_all(&mut self) {
        self.effects.extend(self.core.take_effects());
        while let Some(effect) = self.effects.pop_front() {
            // Kept for the core in case the write fails.
            let again = effect.writes().then(|| effect.clone());
            if let Err(error) = self.perform(effect).await {
                let why = error.sentence();
                tracing::warn!(why, "a write failed; nothing is admitted until it succeeds");
                let rest = again.into_iter().chain(self.effects.drain(..)).collect();
                self.core.handle_disk_failed(rest, &why, clock::mono());
            }
            self.effects.extend(self.core.take_effects());
        }
    }

    async fn perform(&mut self, effect: Effect) -> Result<(), DataError> {
        match effect {
            Effect::WriteMeta(meta) => {
                let journal = self.journal.clone();
                blocking(move || journal.write_meta(&meta)).await?;
            }
            Effect::WriteEntry(entry) => {
                let journal = self.journal.clone();
                blocking(move || journal.write_entry(&entry)).await?;
            }
            Effect::RemoveEntry(request_id) => {
                let journal = self.journal.clone();
                blocking(move || journal.remove_entry(request_id)).await?;
                self.outbox.forget(request_id).await?;
            }
            Effect::WriteHeld { scope, rev, hash } => {
                let files = self.held.clone();
                let held = HeldDocument { scope, rev, hash };
                blocking(move || files.write_document(&held)).await?;
            }
            Effect::WriteDesired(desired) => {
                let files = self.held.clone();
                blocking(move || files.write_desired(&desired)).await?;
            }
            Effect::WriteBrake(brake) => {
                let files = self.held.clone();
                blocking(move || files.write_brake(&brake)).await?;
            }
            Effect::StoreResult(result) => self.store_result(*result).await?,
            Effect::SendAgain(request_id) => {
                self.outbox.again(request_id).await?;
            }
            Effect::Send(request_id) => self.outbox.release(request_id),
            Effect::KillLeftovers { request_id, mark } => {
                self.kill_leftovers(request_id, mark).await;
            }
            Effect::FetchScript(request_id, command) => self.fetch_script(request_id, *command),
            Effect::Prepare(request_id) => self.core.handle_prepared(request_id, clock::mono()),
            Effect::Spawn(request_id, command) => self.runs.spawn(request_id, command),
            Effect::Release(request_id) => self.runs.release(request_id),
            Effect::Kill(request_id) => self.kill(request_id),
            Effect::DropOutput(request_id) => self.runs.drop_written(request_id),
            Effect::Ask(request_id) => self.ask(request_id),
            Effect::SendStarted(started) => {
                let subject = subject::event(&self.pc_id, subject::EVENT_STARTED);
                self.telemetry.send("EVENTS", subject, &started);
            }
            Effect::Beat => self.pulse.hurry(Instant::now()),
            Effect::ReadAll => self.read_all(),
        }
        Ok(())
    }

    async fn store_result(&mut self, result: RunResult) -> Result<(), DataError> {
        let request_id = result.request_id;
        tracing::debug!(%request_id, outcome = result.outcome.as_str(), "result stored");
        let written = self.runs.written(request_id);
        let fill = move |result: &mut RunResult| {
            if let Some(written) = written {
                written.fill(result);
            }
        };
        self.outbox.store(result, fill).await?;
        // On disk now: only then is it safe to forget it here.
        self.runs.drop_written(request_id);
        self.tell_room();
        Ok(())
    }

    async fn kill_leftovers(&self, request_id: RequestId, mark: Option<serde_json::Value>) {
        // Without a mark its processes were still held back, and ended with the agent.
        let Some(mark) = mark.and_then(|mark| serde_json::from_value::<ProcessMark>(mark).ok())
        else {
            return;
        };
        let platform = self.platform.clone();
        let left = blocking(move || platform.kill_leftovers(&mark)).await;
        if left.killed + left.survivors > 0 {
            let (killed, survivors) = (left.killed, left.survivors);
            tracing::warn!(%request_id, killed, survivors, "killed what an earlier agent left running");
        }
    }

    fn fetch_script(&self, request_id: RequestId, command: Command) {
        let (scripts, client) = (self.scripts.clone(), self.client.clone());
        let events = self.sources.own_end.clone();
        let needed = scripts.paths(open_commands(self.core.entries().values()));
        tokio::spawn(async move {
            let sweeper = scripts.clone();
            if let Err(error) = blocking(move || sweeper.sweep(&needed)).await {
                tracing::warn!(error = error.sentence(), "old scripts stay");
            }
            let got = scripts.fetch(client, command.run.script).await;
            // The agent that listens is the one that ends this task.
            let _ = events.send(Event::Script { request_id, got });
        });
    }

    fn kill(&self, request_id: RequestId) {
        let kind = if self.stop_by.is_some() {
            StopKind::Shutdown
        } else {
            StopKind::Kill
        };
        let stopped = self.runs.stop(request_id, kind);
        tracing::info!(%request_id, stopped, "run told to stop");
    }

    /// Asks the broker for the run's result and the backend for what it heard of it.
    fn ask(&self, request_id: RequestId) {
        let (client, pc_id) = (self.client.clone(), self.pc_id.clone());
        let journal_id = self.core.journal_id();
        let events = self.sources.own_end.clone();
        tokio::spawn(async move {
            let (found, heard) = match client {
                Some(client) => {
                    let subject = subject::result(&pc_id, request_id);
                    let result = read::try_newest(&client, subject::RESULTS_STREAM, &subject);
                    let runs = [request_id];
                    let (result, time) =
                        tokio::join!(result, read::try_time(&client, &pc_id, journal_id, &runs));
                    let heard = time.filter(|reply| reply.refused.is_none());
                    let heard = heard.and_then(|reply| {
                        reply
                            .heard
                            .into_iter()
                            .find(|heard| heard.request_id == request_id)
                    });
                    (
                        result.map(|found| found.is_some()),
                        heard.map(|heard| heard.state),
                    )
                }
                None => (None, None),
            };
            // The agent that listens is the one that ends this task.
            let _ = events.send(Event::Asked {
                request_id,
                found,
                heard,
            });
        });
    }

    /// Reads all documents again; a read that is still under way is given up for it.
    pub(super) fn read_all(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.abort();
        }
        if let Some(client) = self.client.clone() {
            let (pc_id, events) = (self.pc_id.clone(), self.sources.link_end.clone());
            let journal_id = self.core.journal_id();
            let documents = Arc::new(OpenEach);
            let read = read::all(client, pc_id, journal_id, documents, events);
            self.reader = Some(tokio::spawn(read));
        }
    }
}

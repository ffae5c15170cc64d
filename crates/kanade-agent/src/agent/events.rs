//! What each event means to the core; no rule of its own.

use kanade_agent_core::journal::Entry;
use tokio::time::Instant;

use super::{Agent, Event, HARDWARE_EVERY, SLIM_ABOVE_BYTES, STOP_PATIENCE, room_bytes};
use crate::data::LastConnect;
use crate::heartbeat::{Facts, heartbeat};
use crate::inventory::hardware;
use crate::link::LinkEvent;
use crate::outbox::OutboxEvent;
use crate::requests::{self, Request};
use crate::runs::RunEvent;
use crate::{blocking, clock, logs, platform};
use kanade_shared::id::JobId;
use kanade_shared::subject;
use kanade_shared::wire::inventory::HARDWARE;

impl Agent {
    pub(super) async fn handle(&mut self, event: Event) {
        let now = clock::mono();
        match event {
            Event::Link(event) => self.handle_link(event).await,
            Event::Run(RunEvent::Spawned { request_id, mark }) => {
                self.core.handle_spawned(request_id, mark, now);
            }
            Event::Run(RunEvent::Ended { request_id, end }) => {
                tracing::debug!(%request_id, how = ?end.how, "run ended");
                let end = self.runs.ended(request_id, *end);
                self.core.handle_ended(request_id, end, now);
            }
            Event::Outbox(OutboxEvent::Acknowledged(request_id)) => {
                self.core.handle_sent(request_id);
                self.tell_room();
            }
            Event::Script { request_id, got } => self.core.handle_script(request_id, got, now),
            Event::Asked {
                request_id,
                found,
                heard,
            } => {
                self.core.handle_asked(request_id, found, heard, now);
            }
            Event::Hardware(facts) => self.send_hardware(&facts),
            Event::Timeout => self.core.handle_timeout(now),
            Event::BeatDue => self.beat().await,
            Event::HardwareDue => self.read_hardware(),
            Event::Stop => self.stop(),
        }
    }

    async fn handle_link(&mut self, event: LinkEvent) {
        let now = clock::mono();
        match event {
            LinkEvent::Up(client) => {
                tracing::info!(url = self.url, "connected to the broker");
                self.outbox.link_up(client.clone());
                self.telemetry.link_up(client.clone());
                self.client = Some(client);
                self.core.handle_connected(now);
                self.note_connect().await;
            }
            LinkEvent::Down => {
                tracing::warn!(url = self.url, "connection to the broker lost");
                if let Some(reader) = self.reader.take() {
                    reader.abort();
                }
                self.client = None;
                self.outbox.link_down();
                self.telemetry.link_down();
                self.core.handle_disconnected(now);
            }
            LinkEvent::Heard(heard) => self.core.handle_heard(heard, now),
            LinkEvent::Read(read) => self.core.handle_read(read, now),
            LinkEvent::Time {
                reply,
                asked,
                answered,
            } => {
                let journal = reply.journal_id.map(|id| (id, reply.journal_counter));
                self.core.handle_time(reply.now, journal, asked, answered);
            }
            LinkEvent::Request { verb, message } => self.handle_request(&verb, message).await,
        }
    }

    async fn note_connect(&self) {
        let (data, at, url) = (self.data.clone(), clock::wall(), self.url.clone());
        blocking(move || data.note_connect(&LastConnect { at, url })).await;
    }

    async fn handle_request(&mut self, verb: &str, message: async_nats::Message) {
        let (Some(client), Some(to)) = (self.client.clone(), message.reply) else {
            return;
        };
        let ack = match requests::parse(verb, &message.payload) {
            Request::Ping => requests::yes(),
            Request::Kick if self.kicks.admits(Instant::now()) => {
                self.read_all();
                requests::yes()
            }
            Request::Kick => requests::no("kicked less than 5 s ago"),
            Request::Results(wanted) => {
                self.core.handle_results_wanted(&wanted.runs);
                requests::yes()
            }
            Request::Logs(request) => {
                let path = self.log_file.clone();
                tokio::spawn(async move {
                    let page = blocking(move || logs::page(path.as_deref(), &request)).await;
                    requests::reply(&client, to, &page).await;
                });
                return;
            }
            Request::Tail(request) => {
                let found = self.core.has_run(request.request_id);
                match self.runs.tail(request.request_id).filter(|_| found) {
                    Some(tail) => {
                        let pc_id = self.pc_id.clone();
                        tokio::spawn(requests::follow(client, pc_id, request, tail, to));
                    }
                    None => {
                        let none = requests::no_tail(request.request_id, found);
                        requests::reply(&client, to, &none).await;
                    }
                }
                return;
            }
            Request::Unknown(why) => requests::no(why),
        };
        requests::reply(&client, to, &ack).await;
    }

    /// Core only, and only while there is a connection: one that was missed is made up by the next.
    async fn beat(&mut self) {
        let (mono, wall) = (clock::mono(), clock::wall());
        self.pulse
            .sent(Instant::now(), self.core.settings().heartbeat_interval_s);
        self.tell_room();
        self.slim();
        let beat = heartbeat(
            self.core.status(),
            Facts {
                pc_id: self.pc_id.clone(),
                wall,
                since_boot: platform::since_boot().ok(),
                skew_ms: self.core.skew_ms(wall, mono),
                level: self.outbox.level(),
                host_name: self.host_name.clone(),
                os_family: platform::os_family(),
                rss_bytes: platform::resident_bytes(),
            },
        );
        if let (Some(client), Ok(payload)) = (&self.client, serde_json::to_vec(&beat)) {
            let sent = client
                .publish(subject::heartbeat(&self.pc_id), payload.into())
                .await;
            let _ = sent.inspect_err(|error| tracing::debug!(%error, "heartbeat not sent"));
        }
    }

    /// After a burst of large output: back to the size of an idle agent.
    fn slim(&self) {
        let large = platform::resident_bytes().is_some_and(|bytes| bytes > SLIM_ABOVE_BYTES);
        if large && self.runs.is_idle() {
            platform::give_memory_back();
        }
    }

    /// Tells the core how much room is left for results.
    pub(super) fn tell_room(&mut self) {
        let waiting = self.outbox.level().bytes;
        let room = room_bytes(self.max_outbox_bytes, waiting, self.data.root());
        self.core.handle_room(room, clock::mono());
    }

    fn read_hardware(&mut self) {
        self.hardware_at = Instant::now() + HARDWARE_EVERY;
        let (pc_id, events) = (self.pc_id.clone(), self.sources.own_end.clone());
        tokio::spawn(async move {
            let facts = hardware::collect(pc_id).await;
            // The agent that listens is the one that ends this task.
            let _ = events.send(Event::Hardware(Box::new(facts)));
        });
    }

    fn send_hardware(&self, facts: &kanade_shared::wire::inventory::Hardware) {
        if let Ok(job_id) = JobId::parse(HARDWARE) {
            let subject = subject::inventory(&self.pc_id, &job_id);
            self.telemetry.send("INVENTORY", subject, facts);
        }
    }

    fn stop(&mut self) {
        let open = self
            .core
            .entries()
            .values()
            .filter(|entry| !Entry::ended(entry))
            .count();
        tracing::info!(
            open,
            "stopping: nothing starts any more, what runs is stopped"
        );
        self.stop_by = Some(Instant::now() + STOP_PATIENCE);
        self.core.handle_stopping();
    }
}

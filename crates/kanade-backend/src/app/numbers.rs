//! Which numbers of the parts `/metrics` shows.

use std::sync::Arc;

use super::way::Way;
use crate::counters::{Counters, StreamCounters};
use crate::flow::Flow;
use crate::metrics::{Kind, Metrics, Sample};
use crate::tasks::Tasks;

/// Lets `/metrics` show what the parts count for themselves.
pub(super) fn watch(metrics: &Metrics, flow: &Flow, tasks: &Tasks, way: &Way) {
    let changes = flow.changes.clone();
    gauge(
        metrics,
        "live_listeners",
        "Listeners of live changes",
        move || changes.listeners() as u64,
    );
    let changes = flow.changes.clone();
    gauge(
        metrics,
        "change_number",
        "Highest change that was published",
        move || changes.current(),
    );
    let tasks = tasks.clone();
    metrics.watch(
        "task_restarts",
        "Tasks started again",
        Kind::Counter,
        "task",
        move || {
            let tasks = tasks.list().into_iter();
            tasks.map(|task| (Some(task.task), task.restarts)).collect()
        },
    );
    if let Some(child) = way.health() {
        let help = "Times that the broker was started again";
        metrics.watch("broker_restarts", help, Kind::Counter, "", move || {
            one(child.borrow().restarts)
        });
    }
    streams(metrics, &flow.counters);
    flows(metrics, &flow.counters);
}

/// A number of each stream.
type OfStream = fn(&StreamCounters) -> u64;

fn streams(metrics: &Metrics, counters: &Arc<Counters>) {
    let watched: [(&str, &str, Kind, OfStream); 5] = [
        ("projector_stored", "Messages stored", Kind::Counter, |s| {
            s.stored.get()
        }),
        (
            "projector_lag",
            "Messages that wait to be stored",
            Kind::Gauge,
            |s| s.lag.get(),
        ),
        (
            "projector_dead_letters",
            "Messages put aside",
            Kind::Counter,
            |s| s.dead_letters.get(),
        ),
        (
            "projector_gaps",
            "Stretches evicted unread",
            Kind::Counter,
            |s| s.gaps.get(),
        ),
        (
            "projector_rewinds",
            "Streams read again",
            Kind::Counter,
            |s| s.rewinds.get(),
        ),
    ];
    for (name, help, kind, read) in watched {
        let counters = counters.clone();
        metrics.watch(name, help, kind, "stream", move || {
            let streams = counters.streams().into_iter();
            streams
                .map(|(stream, numbers)| (Some(stream.to_owned()), read(numbers)))
                .collect()
        });
    }
}

/// A number of the flows as a whole.
type OfFlows = fn(&Counters) -> u64;

fn flows(metrics: &Metrics, counters: &Arc<Counters>) {
    let watched: [(&str, &str, OfFlows); 8] = [
        ("heartbeats", "Heartbeats taken in", |c| c.heartbeats.get()),
        ("core_dead_letters", "Core messages put aside", |c| {
            c.core_dead_letters.get()
        }),
        ("enrolled", "PCs that enrolled", |c| c.enrolled.get()),
        ("published_documents", "Command documents published", |c| {
            c.documents.get()
        }),
        (
            "publish_conflicts",
            "Publishes that were started over",
            |c| c.conflicts.get(),
        ),
        ("published_bodies", "Script bodies published", |c| {
            c.bodies.get()
        }),
        ("published_desired", "Desired documents published", |c| {
            c.desired.get()
        }),
        ("recovered", "Things taken over from the broker", |c| {
            c.recovered.get()
        }),
    ];
    for (name, help, read) in watched {
        let counters = counters.clone();
        metrics.watch(name, help, Kind::Counter, "", move || one(read(&counters)));
    }
}

fn gauge(
    metrics: &Metrics,
    name: &'static str,
    help: &'static str,
    read: impl Fn() -> u64 + Send + Sync + 'static,
) {
    metrics.watch(name, help, Kind::Gauge, "", move || one(read()));
}

fn one(value: u64) -> Vec<Sample> {
    vec![(None, value)]
}

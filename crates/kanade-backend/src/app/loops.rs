//! The loops between broker and database, in the order they start in; they stop in the reverse.

use async_nats::Client;

use crate::flow::Flow;
use crate::projector::{self, Projection, pressure};
use crate::publisher;
use crate::tasks::Tasks;

/// Name of the publisher's task.
pub(super) const PUBLISHER: &str = "publish";

/// Starts them; `system` hears of connects and disconnects, where there is such an account.
pub(super) fn spawn(tasks: &Tasks, flow: &Flow, system: Option<Client>) {
    for projection in Projection::ALL {
        let flow = flow.clone();
        tasks.spawn(projection.task(), move |stop| {
            projector::run(flow.clone(), projection, stop)
        });
    }
    let of = flow.clone();
    tasks.spawn("watch the room for results", move |stop| {
        pressure::run(of.clone(), stop)
    });
    let of = flow.clone();
    tasks.spawn(PUBLISHER, move |stop| publisher::run(of.clone(), stop));
    drop(system);
}

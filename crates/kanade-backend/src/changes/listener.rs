//! One that listens: what waits for it, as text of server-sent events.

use std::sync::Arc;
use std::time::Instant;

use super::{Batch, Changes, Event, Queue};

/// How a listener begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// From this change on, with all before it unknown.
    Reset(u64),
    /// With all after this change.
    Resumed(u64),
}

/// One that listens; dropping it ends that.
pub struct Listener {
    hub: Changes,
    id: u64,
    queue: Arc<Queue>,
    start: Option<Start>,
}

impl Listener {
    pub(super) fn new(hub: Changes, id: u64, queue: Arc<Queue>, start: Start) -> Self {
        Self {
            hub,
            id,
            queue,
            start: Some(start),
        }
    }

    /// The next piece of the event stream, as text of server-sent events: one or more whole
    /// events. Only the last event of a change has an `id`, so that one who is cut off in the
    /// middle of a change gets all of it again.
    pub async fn next(&mut self) -> String {
        if let Some(start) = self.start.take() {
            return match start {
                Start::Reset(change) => reset(change),
                Start::Resumed(change) => {
                    format!("id: {change}\nevent: resumed\ndata: {{\"kind\":\"resumed\"}}\n\n")
                }
            };
        }
        loop {
            if let Some(text) = self.take() {
                return text;
            }
            self.queue.ready.notified().await;
        }
    }

    fn take(&self) -> Option<String> {
        let (lost, batch) = {
            let mut waiting = self.queue.lock();
            let (lost, batch) = (waiting.reset.take(), waiting.batches.pop_front());
            if let Some(batch) = &batch {
                waiting.events -= self.mine(batch).count();
            }
            (lost, batch)
        };
        if lost.is_none() && batch.is_none() {
            return None;
        }
        let mut text = lost.map(reset).unwrap_or_default();
        if let Some(batch) = batch {
            self.write(&batch, &mut text);
        }
        Some(text)
    }

    fn mine<'a>(&'a self, batch: &'a Batch) -> impl Iterator<Item = &'a Event> {
        batch
            .events
            .iter()
            .filter(|event| self.queue.topics.contains(&event.topic))
    }

    fn write(&self, batch: &Batch, text: &mut String) {
        let mut mine = self.mine(batch).peekable();
        while let Some(event) = mine.next() {
            if let (Some(change), None) = (batch.change, mine.peek()) {
                text.push_str(&format!("id: {change}\n"));
            }
            text.push_str(&format!(
                "event: {}\ndata: {}\n\n",
                event.topic,
                event.json()
            ));
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut hub = self.hub.lock();
        hub.listeners.remove(&self.id);
        for topic in &self.queue.topics {
            if let Some(interest) = hub.topics.get_mut(topic) {
                interest.listeners -= 1;
                if interest.listeners == 0 {
                    interest.left = Some(Instant::now());
                }
            }
        }
    }
}

fn reset(change: u64) -> String {
    format!("id: {change}\nevent: reset\ndata: {{\"kind\":\"reset\"}}\n\n")
}

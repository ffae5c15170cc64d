//! What is told besides results: that a run goes on, what the PC is made of.
//!
//! A small queue in memory, sent one after another while there is a link, each until the broker
//! has acknowledged it. Full, it loses its oldest: results never wait behind this.

use std::collections::VecDeque;
use std::time::Duration;

use async_nats::client::Request;
use serde::Serialize;
use tokio::sync::mpsc;

use crate::outbox::ack;
use crate::random;

const HELD_MAX: usize = 64;
const ACK_TIMEOUT: Duration = Duration::from_secs(10);
const FIRST_WAIT_MS: u64 = 1_000;
const LONGEST_WAIT_MS: u64 = 60_000;

#[derive(Debug)]
struct Item {
    stream: &'static str,
    subject: String,
    payload: Vec<u8>,
}

#[derive(Debug)]
enum Order {
    Send(Item),
    LinkUp(async_nats::Client),
    LinkDown,
}

/// The agent's end of the queue.
#[derive(Debug, Clone)]
pub(crate) struct Telemetry {
    orders: mpsc::UnboundedSender<Order>,
}

impl Telemetry {
    /// Starts the task that sends.
    pub(crate) fn start() -> Self {
        let (orders, inbox) = mpsc::unbounded_channel();
        tokio::spawn(run(inbox));
        Self { orders }
    }

    /// Tells something, as soon as there is a link.
    pub(crate) fn send(&self, stream: &'static str, subject: String, payload: &impl Serialize) {
        match serde_json::to_vec(payload) {
            Ok(payload) => self.order(Order::Send(Item {
                stream,
                subject,
                payload,
            })),
            Err(error) => tracing::warn!(subject, %error, "telemetry has no JSON form"),
        }
    }

    /// There is a link.
    pub(crate) fn link_up(&self, client: async_nats::Client) {
        self.order(Order::LinkUp(client));
    }

    /// The link is gone.
    pub(crate) fn link_down(&self) {
        self.order(Order::LinkDown);
    }

    fn order(&self, order: Order) {
        // The task lives as long as the runtime.
        let _ = self.orders.send(order);
    }
}

async fn run(mut orders: mpsc::UnboundedReceiver<Order>) {
    let mut waiting: VecDeque<Item> = VecDeque::new();
    let mut client: Option<async_nats::Client> = None;
    let mut failures = 0;
    loop {
        let pause = Duration::from_millis(match failures {
            0 => 0,
            _ => kanade_agent_core::backoff::delay_ms(
                failures,
                FIRST_WAIT_MS,
                LONGEST_WAIT_MS,
                random::byte(),
            ),
        });
        let sending = async {
            match (&client, waiting.front()) {
                (Some(client), Some(item)) => {
                    tokio::time::sleep(pause).await;
                    send(client, item).await
                }
                (None, _) | (_, None) => std::future::pending().await,
            }
        };
        // An order ends a wait or a try; what was on its way is sent again, which is harmless.
        tokio::select! {
            biased;
            order = orders.recv() => match order {
                Some(Order::Send(item)) => {
                    if waiting.len() >= HELD_MAX {
                        waiting.pop_front();
                    }
                    waiting.push_back(item);
                }
                Some(Order::LinkUp(new)) => (client, failures) = (Some(new), 0),
                Some(Order::LinkDown) => client = None,
                None => return,
            },
            stored = sending => {
                if stored {
                    waiting.pop_front();
                    failures = 0;
                } else {
                    failures += 1;
                }
            }
        }
    }
}

async fn send(client: &async_nats::Client, item: &Item) -> bool {
    let request = Request::new()
        .payload(item.payload.clone().into())
        .timeout(Some(ACK_TIMEOUT));
    match client.send_request(item.subject.clone(), request).await {
        Ok(answer) => ack::stored(item.stream, &answer.payload)
            .inspect_err(|error| tracing::debug!(item.subject, %error, "telemetry refused"))
            .is_ok(),
        Err(error) => {
            tracing::debug!(item.subject, %error, "telemetry not acknowledged");
            false
        }
    }
}

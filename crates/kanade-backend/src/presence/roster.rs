//! Who is connected, as the broker's events tell it.
//!
//! A PC may have two connections for a moment, when it comes back before the broker has noticed
//! that it was gone; it is offline when the last one ends. Connections go by the name that the
//! client gives, as long as all agents share one user: then nothing better is known.
//!
//! **Invariant:** no I/O and no clock here.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Duration, Utc};
use kanade_shared::id::PcId;
use serde::Deserialize;

/// A heartbeat that was on its way when its PC disconnected comes at most this much later.
const ON_ITS_WAY: Duration = Duration::seconds(2);

/// One connection: the broker's server, and the number it gave.
pub type Connection = (String, u64);

/// Who is connected.
#[derive(Debug, Default)]
pub struct Roster {
    connections: BTreeMap<PcId, BTreeSet<Connection>>,
    left: BTreeMap<PcId, DateTime<Utc>>,
}

impl Roster {
    /// A connection began.
    pub fn connected(&mut self, pc_id: &PcId, connection: Connection) {
        self.left.remove(pc_id);
        let connections = self.connections.entry(pc_id.clone()).or_default();
        connections.insert(connection);
    }

    /// A connection ended; `true` when it was the PC's last.
    pub fn disconnected(
        &mut self,
        pc_id: &PcId,
        connection: &Connection,
        now: DateTime<Utc>,
    ) -> bool {
        if let Some(connections) = self.connections.get_mut(pc_id) {
            connections.remove(connection);
            if !connections.is_empty() {
                return false;
            }
            self.connections.remove(pc_id);
        }
        self.left.retain(|_, left| now - *left < ON_ITS_WAY);
        self.left.insert(pc_id.clone(), now);
        true
    }

    /// Everybody whom the broker lists; what was known before is replaced.
    pub fn listed(&mut self, connections: Vec<(PcId, Connection)>) {
        self.connections.clear();
        for (pc_id, connection) in connections {
            self.connected(&pc_id, connection);
        }
    }

    /// Whether the broker has a connection of this PC.
    #[must_use]
    pub fn has(&self, pc_id: &PcId) -> bool {
        self.connections.contains_key(pc_id)
    }

    /// Whether the broker has more than one connection of this PC.
    #[must_use]
    pub fn crowded(&self, pc_id: &PcId) -> bool {
        let connections = self.connections.get(pc_id);
        connections.is_some_and(|connections| connections.len() > 1)
    }

    /// PCs that have a connection.
    pub fn pcs(&self) -> impl Iterator<Item = &PcId> {
        self.connections.keys()
    }

    /// Whether a heartbeat that comes now says that the PC is online.
    #[must_use]
    pub fn vouches(&self, pc_id: &PcId, now: DateTime<Utc>) -> bool {
        let just_left = self
            .left
            .get(pc_id)
            .is_some_and(|left| now - *left < ON_ITS_WAY);
        self.has(pc_id) || !just_left
    }
}

/// An event of the broker: `$SYS.ACCOUNT.<account>.{CONNECT,DISCONNECT}`.
#[derive(Debug, Deserialize)]
pub struct ConnectionEvent {
    server: Server,
    client: ClientOf,
}

#[derive(Debug, Deserialize)]
struct Server {
    id: String,
}

#[derive(Debug, Deserialize)]
struct ClientOf {
    #[serde(default)]
    id: u64,
    #[serde(default)]
    user: Option<String>,
    #[serde(default)]
    name: Option<String>,
}

impl ConnectionEvent {
    /// The agent's PC and connection; `None` when it is no agent's.
    #[must_use]
    pub fn agent(self, user: &str) -> Option<(PcId, Connection)> {
        let named = self.client.user.as_deref() == Some(user);
        let pc_id = PcId::parse(self.client.name.as_deref()?).ok()?;
        named.then_some((pc_id, (self.server.id, self.client.id)))
    }
}

/// The broker's list of connections: the answer to `$SYS.REQ.SERVER.PING.CONNZ`.
#[derive(Debug, Deserialize)]
pub struct ConnectionList {
    server: Server,
    data: ListData,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ListData {
    total: u64,
    connections: Vec<Listed>,
}

#[derive(Debug, Deserialize)]
struct Listed {
    cid: u64,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    authorized_user: Option<String>,
}

impl ConnectionList {
    /// Connections on this page, and on all.
    #[must_use]
    pub fn sizes(&self) -> (u64, u64) {
        (self.data.connections.len() as u64, self.data.total)
    }

    /// The agents on this page.
    #[must_use]
    pub fn agents(self, user: &str) -> Vec<(PcId, Connection)> {
        let server = self.server.id;
        let listed = self.data.connections.into_iter().filter_map(|one| {
            let named = one.authorized_user.as_deref() == Some(user);
            let pc_id = PcId::parse(one.name.as_deref()?).ok()?;
            named.then(|| (pc_id, (server.clone(), one.cid)))
        });
        listed.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::projector::rules::tests::{at, pc};

    fn connection(n: u64) -> Connection {
        ("server".into(), n)
    }

    #[test]
    fn a_pc_is_offline_when_its_last_connection_ends() {
        let mut roster = Roster::default();
        roster.connected(&pc(1), connection(1));
        roster.connected(&pc(1), connection(2));
        assert!(!roster.disconnected(&pc(1), &connection(1), at(1)));
        assert!(roster.has(&pc(1)));
        assert!(roster.disconnected(&pc(1), &connection(2), at(2)));
        assert!(!roster.has(&pc(1)));
    }

    #[test]
    fn a_heartbeat_that_was_on_its_way_does_not_bring_a_pc_back() {
        let mut roster = Roster::default();
        assert!(
            roster.vouches(&pc(1), at(0)),
            "without events, it is all there is"
        );
        roster.connected(&pc(1), connection(1));
        roster.disconnected(&pc(1), &connection(1), at(5));
        assert!(!roster.vouches(&pc(1), at(6)));
        assert!(roster.vouches(&pc(1), at(8)));
        roster.connected(&pc(1), connection(2));
        assert!(roster.vouches(&pc(1), at(6)));
    }

    #[test]
    fn only_agents_that_name_their_pc_are_read_from_the_events() {
        let event = |user: &str, name: &str| {
            let json = serde_json::json!({
                "type": "io.nats.server.advisory.v1.client_connect", "id": "x",
                "server": { "name": "n", "id": "S1" },
                "client": { "id": 7, "acc": "FLEET", "user": user, "name": name, "kind": "Client" }
            });
            serde_json::from_value::<ConnectionEvent>(json).unwrap()
        };
        let found = event("agent", "pc-1").agent("agent");
        assert_eq!(found, Some((pc(1), ("S1".into(), 7))));
        assert_eq!(event("backend", "pc-1").agent("agent"), None);
        assert_eq!(event("agent", "Not A Pc").agent("agent"), None);
    }
}

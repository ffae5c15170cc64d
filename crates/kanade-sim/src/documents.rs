//! Command documents, opened once for all agents of the process.
//!
//! Ten thousand machines would each check and parse the same bytes; here that would only measure
//! the simulator. So a document for all PCs that has the bytes of one of the last few is taken as
//! that one was. A document for one PC is opened by its agent alone.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use kanade_agent::link::document::{OpenCommands, OpenEach, Opened, Refused};
use kanade_shared::body::{self, BodyError};
use kanade_shared::subject::Scope;
use kanade_shared::wire::command::BodyRef;

/// Documents that are remembered: the newest, and those that some agents still hear.
const REMEMBERED: usize = 4;

/// Opens each document for all PCs once.
#[derive(Debug, Default)]
pub struct OpenOnce {
    opened: Mutex<VecDeque<Known>>,
    /// Documents that were checked and parsed.
    pub parsed: AtomicU64,
    /// Documents that had the bytes of one that was.
    pub shared: AtomicU64,
}

#[derive(Debug)]
struct Known {
    body: Bytes,
    signature: Option<String>,
    opened: Opened,
}

impl OpenCommands for OpenOnce {
    fn open(
        &self,
        scope: &Scope,
        body: &Bytes,
        signature: Option<&str>,
    ) -> Result<Opened, Refused> {
        if *scope != Scope::All {
            self.parsed.fetch_add(1, Ordering::Relaxed);
            return OpenEach.open(scope, body, signature);
        }
        // A panic leaves it as it was or with one more whole entry.
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |known: &&Known| known.body == body && known.signature.as_deref() == signature;
        if let Some(known) = opened.iter().find(same) {
            self.shared.fetch_add(1, Ordering::Relaxed);
            return Ok(known.opened.clone());
        }
        self.parsed.fetch_add(1, Ordering::Relaxed);
        let new = OpenEach.open(scope, body, signature)?;
        opened.truncate(REMEMBERED - 1);
        opened.push_front(Known {
            // A copy, lest a connection's buffer stays for it.
            body: Bytes::copy_from_slice(body),
            signature: signature.map(str::to_owned),
            opened: (Arc::clone(&new.0), new.1.clone()),
        });
        Ok(new)
    }
}

/// Script bodies that were decrypted and found right; every agent fetches its own copy.
#[derive(Debug, Default)]
pub struct Bodies(Mutex<BTreeSet<String>>);

impl Bodies {
    /// Whether these bytes are the script that is named.
    ///
    /// # Errors
    /// [`BodyError`].
    pub fn check(&self, bytes: &[u8], body_ref: &BodyRef) -> Result<(), BodyError> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.contains(&body_ref.sha256) {
            body::open(bytes, body_ref)?;
            known.insert(body_ref.sha256.clone());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kanade_shared::id::PcId;

    fn document(scope: &str, rev: u64) -> Bytes {
        let text = format!(
            r#"{{"v":1,"scope":"{scope}","rev":{rev},"issued_at":"2027-01-15T08:00:00Z","commands":[],"stops":[]}}"#
        );
        Bytes::from(text)
    }

    #[test]
    fn a_document_for_all_is_parsed_once_and_one_for_a_pc_each_time() {
        let once = OpenOnce::default();
        let open = |scope: &Scope, body| once.open(scope, &body, None).unwrap().0.rev.0;
        let own = Scope::Pc(PcId::parse("sim-1").unwrap());
        for rev in [1, 1, 2, 1, 2] {
            assert_eq!(open(&Scope::All, document("all", rev)), rev);
        }
        assert_eq!(open(&own, document("pc.sim-1", 1)), 1);
        assert_eq!(open(&own, document("pc.sim-1", 1)), 1);
        assert_eq!(once.parsed.load(Ordering::Relaxed), 4);
        assert_eq!(once.shared.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn another_signature_or_scope_is_looked_at_again() {
        let once = OpenOnce::default();
        let body = document("all", 1);
        once.open(&Scope::All, &body, None).unwrap();
        once.open(&Scope::All, &body, Some("x")).ok();
        assert_eq!(once.shared.load(Ordering::Relaxed), 0);
        let own = Scope::Pc(PcId::parse("sim-1").unwrap());
        assert!(once.open(&own, &body, None).is_err());
    }
}

//! What the child nats-server is told: its configuration file, as text.
//!
//! **Invariant:** the file is written anew at every start; nobody edits it.

use std::fmt::Write as _;
use std::path::Path;

use super::secrets::Secrets;

/// The largest message; documents, script bodies and results stay below.
const MAX_PAYLOAD: u64 = 1 << 20;
/// Connections; one per agent, with room for what the field grows to.
const MAX_CONNECTIONS: u32 = 65_536;
/// Streams in memory: none of ours, so only what consumers keep there.
const MAX_MEMORY_STORE: u64 = 256 << 20;

/// What the configuration file is made from.
#[derive(Debug)]
pub(super) struct Layout<'a> {
    pub(super) host: &'a str,
    pub(super) port: u16,
    /// The broker's own folder.
    pub(super) folder: &'a Path,
    pub(super) secrets: &'a Secrets,
    /// The most that all streams together may take, bytes.
    pub(super) max_file_store: u64,
}

/// The text of the configuration file.
pub(super) fn render(layout: &Layout<'_>) -> String {
    let mut text = String::from("# Written by kanade-backend at every start; changes are lost.\n");
    let mut line = |line: String| {
        // Writing to a string can't fail.
        let _ = writeln!(text, "{line}");
    };
    let path = |name: &str| quoted(&layout.folder.join(name).to_string_lossy());
    let secrets = layout.secrets;
    line(format!("server_name: {}", quoted(&secrets.server_name)));
    line(format!("host: {}", quoted(layout.host)));
    line(format!("port: {}", layout.port));
    line(format!("pid_file: {}", path("nats-server.pid")));
    line(format!("max_payload: {MAX_PAYLOAD}"));
    line(format!("max_connections: {MAX_CONNECTIONS}"));
    // A client that doesn't read for this long is dropped and comes back.
    line("write_deadline: \"10s\"".into());
    line("jetstream {".into());
    line(format!("  store_dir: {}", path("store")));
    line(format!("  max_file_store: {}", layout.max_file_store));
    line(format!("  max_memory_store: {MAX_MEMORY_STORE}"));
    // What is acknowledged is with the system, so a killed broker loses nothing. A power cut may
    // take the last second: the database has published it or asks the agents for it again.
    line("  sync_interval: \"1s\"".into());
    line("}".into());
    line("system_account: SYS".into());
    line("accounts {".into());
    line(format!(
        "  SYS {{ users: [ {} ] }}",
        user("sys", &secrets.system)
    ));
    line("  FLEET {".into());
    line("    jetstream: enabled".into());
    line("    users: [".into());
    line(format!("      {}", user("backend", &secrets.backend)));
    line(format!("      {}", user("agent", &secrets.agent)));
    line("    ]".into());
    line("  }".into());
    line("}".into());
    text
}

fn user(name: &str, password: &str) -> String {
    format!(
        "{{ user: {}, password: {} }}",
        quoted(name),
        quoted(password)
    )
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_reads_like_this() {
        let secrets = Secrets {
            server_name: "kanade-1a2b".into(),
            system: "s".into(),
            backend: "b".into(),
            agent: "a".into(),
        };
        let layout = Layout {
            host: "127.0.0.1",
            port: 4222,
            folder: Path::new("/var/lib/kanade/broker"),
            secrets: &secrets,
            max_file_store: 10 << 30,
        };
        insta::assert_snapshot!(render(&layout), @r#"
        # Written by kanade-backend at every start; changes are lost.
        server_name: "kanade-1a2b"
        host: "127.0.0.1"
        port: 4222
        pid_file: "/var/lib/kanade/broker/nats-server.pid"
        max_payload: 1048576
        max_connections: 65536
        write_deadline: "10s"
        jetstream {
          store_dir: "/var/lib/kanade/broker/store"
          max_file_store: 10737418240
          max_memory_store: 268435456
          sync_interval: "1s"
        }
        system_account: SYS
        accounts {
          SYS { users: [ { user: "sys", password: "s" } ] }
          FLEET {
            jetstream: enabled
            users: [
              { user: "backend", password: "b" }
              { user: "agent", password: "a" }
            ]
          }
        }
        "#);
    }

    #[test]
    fn a_path_cannot_end_its_quotes() {
        assert_eq!(r#""C:\\a\"b""#, quoted(r#"C:\a"b"#));
    }
}

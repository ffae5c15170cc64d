//! Finds a nats-server and makes sure that it is new enough.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use super::failure::BrokerError;

/// Environment variable with the path of the nats-server.
pub(super) const VARIABLE: &str = "KANADE_NATS_SERVER";
/// The oldest that has all that the catalogue uses.
const OLDEST: (u32, u32) = (2, 12);

/// The nats-server to run, checked: the configured one, else the variable's, else the one
/// beside this program, else the one in PATH.
pub(super) async fn find(configured: Option<&Path>) -> Result<PathBuf, BrokerError> {
    let binary = choose(
        configured,
        std::env::var_os(VARIABLE).map(PathBuf::from),
        beside(),
    );
    let text = version_text(&binary).await?;
    match parse_version(&text) {
        Some(version) if version >= OLDEST => Ok(binary),
        Some(_) | None => Err(BrokerError::Version { binary, says: text }),
    }
}

fn choose(
    configured: Option<&Path>,
    variable: Option<PathBuf>,
    beside: Option<PathBuf>,
) -> PathBuf {
    configured
        .map(Path::to_owned)
        .or(variable.filter(|path| !path.as_os_str().is_empty()))
        .or(beside)
        .unwrap_or_else(|| program().into())
}

fn beside() -> Option<PathBuf> {
    let path = std::env::current_exe().ok()?.with_file_name(program());
    path.is_file().then_some(path)
}

fn program() -> String {
    format!("nats-server{}", std::env::consts::EXE_SUFFIX)
}

async fn version_text(binary: &Path) -> Result<String, BrokerError> {
    let output = Command::new(binary)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .await;
    let output = output.map_err(|source| BrokerError::Missing {
        binary: binary.to_owned(),
        source,
    })?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().next().unwrap_or_default().trim().to_owned())
}

/// Major and minor of `nats-server: v2.15.1`.
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.strip_prefix("nats-server: v")?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_from_what_the_program_says() {
        assert_eq!(Some((2, 15)), parse_version("nats-server: v2.15.1"));
        assert_eq!(Some((2, 12)), parse_version("nats-server: v2.12.0-RC.1"));
        assert_eq!(None, parse_version("GNU bash, version 5.2"));
    }

    #[test]
    fn the_nearest_word_wins() {
        let path = |text: &str| Some(PathBuf::from(text));
        assert_eq!(
            path("/c"),
            Some(choose(Some(Path::new("/c")), path("/v"), path("/b")))
        );
        assert_eq!(path("/v"), Some(choose(None, path("/v"), path("/b"))));
        assert_eq!(path("/b"), Some(choose(None, path(""), path("/b"))));
        assert_eq!(path(&program()), Some(choose(None, None, None)));
    }
}

//! What a script finds in its environment.
//!
//! The agent's own environment without what is only the agent's business (its configuration and
//! secrets, and what a service manager tells a service), then what the operator gave, then
//! [`RUN_MARKER`] with the run's request id, by which its processes are found again.

use std::collections::BTreeMap;

use super::StartError;
use crate::platform::RUN_MARKER;

/// Never inherited: the agent's configuration and secrets.
const OWN_PREFIX: &str = "KANADE_";

/// Never inherited: what systemd tells a service. A script that found them could speak for the
/// agent or read its credentials.
const SERVICE_NAMES: [&str; 9] = [
    "CREDENTIALS_DIRECTORY",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "LISTEN_FDNAMES",
    "LISTEN_FDS",
    "LISTEN_PID",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
];

/// The whole environment of a run.
pub(super) fn environment(
    own: impl IntoIterator<Item = (String, String)>,
    given: &BTreeMap<String, String>,
    request_id: &str,
) -> Result<BTreeMap<String, String>, StartError> {
    let mut result: BTreeMap<String, String> = own
        .into_iter()
        .filter(|(name, _)| is_inherited(name))
        .collect();
    for (name, value) in given {
        if !is_name(name) {
            return Err(StartError::EnvironmentName(name.clone()));
        }
        if value.contains('\0') {
            return Err(StartError::NulCharacter(format!(
                "environment variable `{name}`"
            )));
        }
        result.insert(name.clone(), value.clone());
    }
    result.insert(RUN_MARKER.to_owned(), request_id.to_owned());
    Ok(result)
}

fn is_inherited(name: &str) -> bool {
    // Windows has names such as `=C:`, which hold the folder of each drive.
    let upper = name.to_ascii_uppercase();
    !upper.starts_with(OWN_PREFIX)
        && !SERVICE_NAMES.contains(&upper.as_str())
        && !name.contains('=')
}

/// Shells drop other names without a word, so they are refused.
fn is_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && chars.all(|other| other.is_ascii_alphanumeric() || other == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(list: &[(&str, &str)]) -> BTreeMap<String, String> {
        list.iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn check(
        own: &[(&str, &str)],
        given: &[(&str, &str)],
    ) -> Result<BTreeMap<String, String>, String> {
        environment(pairs(own), &pairs(given), "r1").map_err(|error| error.to_string())
    }

    #[test]
    fn the_agents_secrets_and_service_variables_stay_with_the_agent() {
        let own = [
            ("PATH", "/bin"),
            ("KANADE_TOKEN", "s"),
            ("kanade_token", "s"),
            ("NOTIFY_SOCKET", "/x"),
        ];
        assert_eq!(
            check(&own, &[]).unwrap(),
            pairs(&[("PATH", "/bin"), ("KANADE_RUN", "r1")])
        );
    }

    #[test]
    fn what_was_given_wins_but_not_over_the_marker() {
        let given = [
            ("PATH", "/opt"),
            ("KANADE_EXEC", "e"),
            ("KANADE_RUN", "other"),
        ];
        let expected = pairs(&[("PATH", "/opt"), ("KANADE_EXEC", "e"), ("KANADE_RUN", "r1")]);
        assert_eq!(check(&[("PATH", "/bin")], &given).unwrap(), expected);
    }

    #[test]
    fn names_that_shells_would_drop_are_refused() {
        for name in ["", "a.b", "1A", "A=B", "Ä"] {
            assert!(
                check(&[], &[(name, "x")])
                    .unwrap_err()
                    .contains(&format!("`{name}`"))
            );
        }
    }

    #[test]
    fn a_value_with_nul_is_refused() {
        assert!(
            check(&[], &[("A", "x\0y")])
                .unwrap_err()
                .contains("`A` holds a NUL")
        );
    }
}

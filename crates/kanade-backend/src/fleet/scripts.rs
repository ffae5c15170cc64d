//! From what people write to what PCs are told: the run, where its script goes, and its title.

use kanade_shared::body;
use kanade_shared::manifest::JobRun;
use kanade_shared::wire::command::{Run, ScriptSource};
use kanade_shared::wire::{
    BODY_MAX_BYTES, INLINE_DOCUMENT_MAX_BYTES, INLINE_DOCUMENTS_MAX, INLINE_SCRIPT_MAX_BYTES,
};

/// Most characters of a title.
const TITLE_MAX: usize = 80;

/// A script that travels apart from its command.
pub(super) struct Sealed {
    /// Its name.
    pub(super) sha256: String,
    /// Its encrypted bytes.
    pub(super) bytes: Vec<u8>,
}

/// How many documents will carry a command, and how full the fullest of them is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Carriers {
    /// Documents.
    pub(super) documents: usize,
    /// Bytes that the fullest one has without the command.
    pub(super) fullest_bytes: u64,
}

/// The wire's form of a run, with its script inline.
pub(super) fn run_of(job: &JobRun) -> Run {
    Run {
        shell: job.shell,
        script: ScriptSource::Inline {
            text: job.script.clone(),
        },
        args: job.args.clone(),
        env: job.env.clone(),
        cwd: job.cwd.clone(),
        stdin: job.stdin.clone(),
        timeout_s: job.timeout,
        tries: job.tries,
        backoff_s: job.backoff,
        run_as: job.run_as,
        output_cap_bytes: job.output_cap_bytes,
    }
}

/// Decides whether the script rides inside, as a body over the broker, or by HTTPS; seals it
/// under `key` when it does not ride inside.
pub(super) fn place(
    run: &Run,
    carriers: Carriers,
    key: [u8; body::KEY_BYTES],
) -> (Run, Option<Sealed>) {
    let ScriptSource::Inline { text } = &run.script else {
        return (run.clone(), None);
    };
    let rides_inside = text.len() <= INLINE_SCRIPT_MAX_BYTES
        && carriers.documents <= INLINE_DOCUMENTS_MAX
        && carriers.fullest_bytes + text.len() as u64 <= INLINE_DOCUMENT_MAX_BYTES as u64;
    if rides_inside {
        return (run.clone(), None);
    }
    let (bytes, body_ref) = body::seal(text, key);
    let sealed = Sealed {
        sha256: body_ref.sha256.clone(),
        bytes,
    };
    let script = if text.len() > BODY_MAX_BYTES {
        ScriptSource::Https(body_ref)
    } else {
        ScriptSource::Body(body_ref)
    };
    (
        Run {
            script,
            ..run.clone()
        },
        Some(sealed),
    )
}

/// The first line that says something: not blank, not a comment, not an echo switch.
pub(super) fn title(script: &str) -> String {
    let lines = || {
        script
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
    };
    let line = lines()
        .find(|line| says_something(line))
        .or_else(|| lines().next());
    let line = line.unwrap_or("");
    let mut title: String = line.chars().take(TITLE_MAX).collect();
    if line.chars().count() > TITLE_MAX {
        title.pop();
        title.push('…');
    }
    title
}

fn says_something(line: &str) -> bool {
    let lower = line.to_lowercase();
    let noise = [
        "#",
        "::",
        "rem ",
        "@echo off",
        "<#",
        "set -e",
        "set -u",
        "param(",
    ];
    !noise.iter().any(|start| lower.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kanade_shared::wire::command::Shell;

    fn run(size: usize) -> Run {
        let yaml = serde_json::json!({ "shell": "sh", "script": "x".repeat(size) });
        let job: JobRun = serde_json::from_value(yaml).unwrap();
        assert_eq!(job.shell, Shell::Sh);
        run_of(&job)
    }

    fn placed(size: usize, documents: usize, fullest_bytes: u64) -> &'static str {
        let (run, sealed) = place(
            &run(size),
            Carriers {
                documents,
                fullest_bytes,
            },
            [1; 32],
        );
        let kind = match &run.script {
            ScriptSource::Inline { .. } => "inline",
            ScriptSource::Body(_) => "body",
            ScriptSource::Https(_) => "https",
        };
        assert_eq!(sealed.is_some(), kind != "inline");
        kind
    }

    #[test]
    fn a_script_rides_inside_while_it_is_small_and_few_documents_carry_it() {
        assert_eq!(placed(2048, 32, 0), "inline");
        assert_eq!(placed(2049, 1, 0), "body");
        assert_eq!(placed(1, 33, 0), "body");
        assert_eq!(placed(2000, 1, 15_000), "body");
        assert_eq!(placed(512 * 1024, 1, 0), "body");
        assert_eq!(placed(512 * 1024 + 1, 1, 0), "https");
    }

    #[test]
    fn the_title_is_the_first_line_that_says_something() {
        assert_eq!(
            title("#!/bin/sh\n# cleans up\n\nset -eu\n  rm -rf /tmp/x\n"),
            "rm -rf /tmp/x"
        );
        assert_eq!(title("# only words"), "# only words");
        assert_eq!(title("@echo off\r\nREM x\r\ndir"), "dir");
        assert_eq!(title(&"é".repeat(90)).chars().count(), 80);
        assert_eq!(title(" \n"), "");
    }
}

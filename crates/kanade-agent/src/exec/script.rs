//! The script on disk, and the command line that runs it.
//!
//! Each run has a folder of its own in the runner's folder, private to the agent, with a random
//! name; it goes when [`Staged`] is dropped, and what a crash left is swept at the next start. The
//! script is a file and never an argument: no length limit, no quoting, and nothing of it in the
//! process list.
//!
//! What each shell needs is decided by [`plan`], which is pure:
//! - `sh`, `bash`: line ends become LF, a byte order mark goes.
//! - `pwsh`, `powershell`: the script with a byte order mark (5.1 takes it for the old code page
//!   otherwise), called by a launcher that sets UTF-8 and passes the exit code on. Two files since
//!   `param()` must stand first in the script.
//! - `cmd`: line ends become CRLF, and a launcher sets UTF-8 and holds the arguments.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use kanade_shared::wire::command::Shell;

use super::{RunSpec, StartError};
use crate::platform::{self, Argument};

const BYTE_ORDER_MARK: char = '\u{FEFF}';

/// Sets UTF-8, calls the script beside it, and ends with the script's code: that of `exit N`, else
/// that of the last native program, else 0; 1 after an error that nothing caught.
const POWERSHELL_LAUNCHER: &str = r#"
$utf8 = New-Object System.Text.UTF8Encoding $false
try { [Console]::OutputEncoding = $utf8; [Console]::InputEncoding = $utf8 } catch { }
$OutputEncoding = $utf8
$ProgressPreference = 'SilentlyContinue'
Remove-Variable utf8
$global:LASTEXITCODE = 0
try {
    & (Join-Path $PSScriptRoot 'script.ps1') @args
} catch {
    [Console]::Error.WriteLine(($_ | Out-String).TrimEnd())
    exit 1
}
exit $global:LASTEXITCODE
"#;

/// What to write and how to start it; file names are within the run's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    files: Vec<(&'static str, String)>,
    /// Arguments of the shell.
    words: Vec<Word>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Word {
    Text(String),
    /// Full path of a file in the run's folder.
    File(&'static str),
    /// The same in quotes, as `cmd /s /c` wants it.
    CmdFile(&'static str),
}

/// A script that lies ready.
#[derive(Debug)]
pub(super) struct Staged {
    folder: PathBuf,
    /// Arguments for the shell.
    pub(super) args: Vec<Argument>,
    /// File with the standard input.
    pub(super) stdin: Option<PathBuf>,
}

/// Decides what a shell needs to run a script with arguments.
pub(super) fn plan(shell: Shell, script: &str, args: &[String]) -> Result<Plan, StartError> {
    if let Some(index) = args.iter().position(|arg| arg.contains('\0')) {
        return Err(StartError::NulCharacter(format!("argument {}", index + 1)));
    }
    let text = |word: &str| Word::Text(word.to_owned());
    let given = args.iter().cloned().map(Word::Text);
    let script = script.strip_prefix(BYTE_ORDER_MARK).unwrap_or(script);
    Ok(match shell {
        Shell::Sh | Shell::Bash => Plan {
            files: vec![("script.sh", script.replace("\r\n", "\n"))],
            words: std::iter::once(Word::File("script.sh"))
                .chain(given)
                .collect(),
        },
        Shell::Pwsh | Shell::Powershell => {
            let mut words: Vec<Word> = ["-NoProfile", "-NonInteractive", "-NoLogo"]
                .map(text)
                .to_vec();
            // Other systems have no execution policies, and pwsh there warns about the option.
            if cfg!(windows) {
                words.extend(["-ExecutionPolicy", "Bypass"].map(text));
            }
            words.extend([text("-File"), Word::File("launcher.ps1")]);
            Plan {
                files: vec![
                    ("script.ps1", format!("{BYTE_ORDER_MARK}{script}")),
                    (
                        "launcher.ps1",
                        format!("{BYTE_ORDER_MARK}{}", POWERSHELL_LAUNCHER.trim_start()),
                    ),
                ],
                words: words.into_iter().chain(given).collect(),
            }
        }
        Shell::Cmd => Plan {
            files: vec![
                ("script.cmd", crlf(script)),
                ("launcher.cmd", cmd_launcher(args)?),
            ],
            words: vec![
                text("/d"),
                text("/s"),
                text("/c"),
                Word::CmdFile("launcher.cmd"),
            ],
        },
    })
}

fn crlf(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\n', "\r\n")
}

/// The arguments stand in the launcher, each in quotes, where only `%` is still special; the last
/// line hands over to the script without `call`, which would read the line a second time.
fn cmd_launcher(args: &[String]) -> Result<String, StartError> {
    let mut line = String::from("\"%~dp0script.cmd\"");
    for (index, arg) in args.iter().enumerate() {
        if arg.contains(['"', '\r', '\n']) {
            return Err(StartError::CmdArgument(index + 1));
        }
        line.push_str(&format!(" \"{}\"", arg.replace('%', "%%")));
    }
    Ok(format!("@echo off\r\nchcp 65001 >nul\r\n{line}\r\n"))
}

/// Writes a run's files into a new folder in `parent`.
pub(super) fn stage(parent: &Path, spec: &RunSpec) -> Result<Staged, StartError> {
    let plan = plan(spec.shell, &spec.script, &spec.args)?;
    let folder = parent.join(uuid::Uuid::now_v7().simple().to_string());
    let failed = |source| StartError::Stage {
        folder: parent.to_string_lossy().into_owned(),
        source,
    };
    let mut staged = Staged {
        folder,
        args: Vec::new(),
        stdin: None,
    };
    staged.fill(&plan, spec.stdin.as_deref()).map_err(failed)?;
    Ok(staged)
}

impl Staged {
    fn fill(&mut self, plan: &Plan, stdin: Option<&str>) -> io::Result<()> {
        platform::create_private_dir(&self.folder)?;
        for (name, text) in &plan.files {
            self.write(name, text)?;
        }
        if let Some(text) = stdin {
            self.write("stdin", text)?;
            self.stdin = Some(self.folder.join("stdin"));
        }
        self.args = plan.words.iter().map(|word| self.argument(word)).collect();
        Ok(())
    }

    fn write(&self, name: &str, text: &str) -> io::Result<()> {
        platform::create_private(&self.folder.join(name))?.write_all(text.as_bytes())
    }

    fn argument(&self, word: &Word) -> Argument {
        let path = |name: &str| self.folder.join(name).to_string_lossy().into_owned();
        match word {
            Word::Text(text) => Argument::Plain(text.clone()),
            Word::File(name) => Argument::Plain(path(name)),
            Word::CmdFile(name) => Argument::Verbatim(format!("\"\"{}\"\"", path(name))),
        }
    }

    /// Removes the folder; blocks.
    pub(super) fn remove(&self) {
        // A file that can't be removed now (open on Windows) is swept at the next start.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if self.folder.exists() {
            self.remove();
        }
    }
}

/// Makes the folder for runs, private, and removes what earlier lives of the agent left in it.
pub(super) fn sweep(parent: &Path) -> io::Result<()> {
    platform::create_private_dir(parent)?;
    for entry in fs::read_dir(parent)? {
        let _ = fs::remove_dir_all(entry?.path());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(shell: Shell, script: &str, args: &[&str]) -> Result<Plan, String> {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        plan(shell, script, &args).map_err(|error| error.to_string())
    }

    fn file(plan: &Plan, name: &str) -> String {
        plan.files
            .iter()
            .find(|(file, _)| *file == name)
            .unwrap()
            .1
            .clone()
    }

    #[test]
    fn a_script_from_windows_runs_in_sh() {
        let plan = check(Shell::Sh, "\u{FEFF}echo a\r\necho b\r\n", &["x y"]).unwrap();
        assert_eq!(file(&plan, "script.sh"), "echo a\necho b\n");
        assert_eq!(
            plan.words,
            [Word::File("script.sh"), Word::Text("x y".to_owned())]
        );
    }

    #[test]
    fn powershell_gets_a_byte_order_mark_once_and_its_script_unchanged() {
        let plan = check(Shell::Powershell, "\u{FEFF}param($x)\r\n'ü'", &["-x", "1"]).unwrap();
        assert_eq!(file(&plan, "script.ps1"), "\u{FEFF}param($x)\r\n'ü'");
        assert!(file(&plan, "launcher.ps1").starts_with("\u{FEFF}$utf8"));
        let words = plan.words;
        let at = words
            .iter()
            .position(|word| *word == Word::Text("-File".to_owned()))
            .unwrap();
        let after = [
            Word::File("launcher.ps1"),
            Word::Text("-x".into()),
            Word::Text("1".into()),
        ];
        assert_eq!(words[at + 1..], after);
    }

    #[test]
    fn the_powershell_launcher_passes_the_scripts_exit_code_on() {
        let plan = check(Shell::Pwsh, "exit 3", &[]).unwrap();
        let launcher = file(&plan, "launcher.ps1");
        assert!(launcher.trim_end().ends_with("exit $global:LASTEXITCODE"));
        assert!(launcher.contains("exit 1"));
    }

    #[test]
    fn cmd_gets_crlf_utf8_and_quoted_arguments() {
        let plan = check(Shell::Cmd, "echo a\necho b\r\n", &["a b", "100%", "c&d"]).unwrap();
        assert_eq!(file(&plan, "script.cmd"), "echo a\r\necho b\r\n");
        assert_eq!(
            file(&plan, "launcher.cmd"),
            "@echo off\r\nchcp 65001 >nul\r\n\"%~dp0script.cmd\" \"a b\" \"100%%\" \"c&d\"\r\n"
        );
    }

    #[test]
    fn what_cmd_cannot_be_given_is_refused() {
        let error = check(Shell::Cmd, "", &["fine", "a\"b"]).unwrap_err();
        assert!(error.contains("argument 2"), "{error}");
        assert!(check(Shell::Cmd, "", &["a\nb"]).is_err());
    }

    #[test]
    fn an_argument_with_nul_is_refused() {
        assert!(
            check(Shell::Sh, "", &["a\0"])
                .unwrap_err()
                .contains("argument 1 holds a NUL")
        );
    }

    #[test]
    fn a_sweep_leaves_an_empty_folder() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("runs");
        sweep(&folder).unwrap();
        fs::create_dir(folder.join("old")).unwrap();
        fs::write(folder.join("old/script.sh"), "x").unwrap();
        sweep(&folder).unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    }
}

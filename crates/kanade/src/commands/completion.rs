//! `kanade completion`.

use clap::CommandFactory as _;

use crate::cli::Cli;
use crate::failure::{Exit, Failure};
use crate::output::Screen;

/// Arguments of `completion`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kanade completion bash > ~/.local/share/bash-completion/completions/kanade
  kanade completion zsh > \"${fpath[1]}/_kanade\"
  kanade completion fish > ~/.config/fish/completions/kanade.fish
  kanade completion powershell >> $PROFILE")]
pub(crate) struct CompletionArgs {
    /// For which shell
    pub shell: Shell,
}

/// Shells that can complete.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum Shell {
    /// GNU Bash
    Bash,
    /// Z shell
    Zsh,
    /// fish
    Fish,
    /// PowerShell
    Powershell,
}

/// Prints the script.
///
/// # Errors
/// None.
pub(crate) fn run(args: &CompletionArgs, screen: &Screen) -> Result<Exit, Failure> {
    let shell = match args.shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
        Shell::Powershell => clap_complete::Shell::PowerShell,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "kanade", &mut script);
    screen.raw(&String::from_utf8_lossy(&script));
    Ok(Exit::Ok)
}

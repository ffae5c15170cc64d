//! `kanade version`.

use kanade_shared::api::system::SystemView;

use crate::cli::Global;
use crate::failure::{Exit, Failure};
use crate::output::Screen;
use crate::output::table::{Format, show_whole};

/// Arguments of `version`.
#[derive(Debug, clap::Args)]
pub(crate) struct VersionArgs {
    /// Only this command's
    #[arg(long)]
    pub client: bool,
    /// How to show it
    #[arg(
        short = 'o',
        long = "output",
        value_name = "FORM",
        default_value = "table",
        hide_possible_values = true
    )]
    pub output: Format,
}

/// Prints the versions; a backend that can't be reached is said and changes the exit code.
///
/// # Errors
/// The backend can't be reached.
pub(crate) async fn run(
    args: &VersionArgs,
    global: &Global,
    screen: &Screen,
) -> Result<Exit, Failure> {
    let client = env!("CARGO_PKG_VERSION");
    let backend = match args.client {
        true => None,
        false => Some(async { global.client()?.get::<SystemView, _>("system", &()).await }.await),
    };
    if matches!(args.output, Format::Json | Format::Yaml) {
        let version = backend
            .as_ref()
            .and_then(|b| b.as_ref().ok())
            .map(|system| &system.version);
        let versions = serde_json::json!({ "client": client, "backend": version });
        show_whole(screen, &versions, args.output)?;
    } else {
        screen.data(&format!("kanade   {client}"));
        if let Some(Ok(system)) = &backend {
            screen.data(&format!("backend  {}", system.version));
        }
    }
    match backend {
        Some(Err(failure)) => Err(failure),
        Some(Ok(_)) | None => Ok(Exit::Ok),
    }
}

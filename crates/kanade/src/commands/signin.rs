//! `kanade signin`: a link that opens the dashboard, signed in.

use kanade_shared::api::session::SigninLink;

use crate::cli::Global;
use crate::failure::{Exit, Failure};
use crate::output::Screen;
use crate::output::table::{Format, FormatArg, show_whole};
use crate::output::words::When;

/// Arguments of `signin`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The link works once. Whoever opens it first acts in your name until signing out, \
so give it to nobody."
)]
pub(crate) struct SigninArgs {
    /// How to show it.
    #[command(flatten)]
    pub format: FormatArg,
}

/// Prints the link; opening it is the person's.
///
/// # Errors
/// The backend refuses or can't be reached.
pub(crate) async fn run(
    args: &SigninArgs,
    global: &Global,
    screen: &Screen,
) -> Result<Exit, Failure> {
    let link: SigninLink = global.client()?.post("signin-links", &()).await?;
    match args.format.output {
        Format::Json | Format::Yaml => show_whole(screen, &link, args.format.output)?,
        Format::Table | Format::Wide | Format::Name | Format::Csv => {
            screen.data(&link.url);
            screen.words(&note(&link, &When::here()));
        }
    }
    Ok(Exit::Ok)
}

fn note(link: &SigninLink, when: &When) -> String {
    format!("works once, until {}", when.clock(link.expires_at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{DateTime, Offset as _, TimeDelta, Utc};

    #[test]
    fn it_is_said_until_when_the_link_is_good() {
        let now = DateTime::UNIX_EPOCH;
        let link = SigninLink {
            url: "http://127.0.0.1:8443/?signin=0a".to_owned(),
            code: "0a".to_owned(),
            expires_at: now + TimeDelta::minutes(10),
        };
        let offset = Utc.fix();
        assert_eq!(
            note(&link, &When { now, offset }),
            "works once, until 00:10"
        );
    }
}

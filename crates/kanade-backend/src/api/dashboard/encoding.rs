//! Which form of a file a client takes, by its `Accept-Encoding`.

/// A form that a file may be sent in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// Smallest.
    Brotli,
    /// Everybody's.
    Gzip,
    /// As it is.
    Plain,
}

impl Encoding {
    /// Its name in headers; the plain form has none.
    pub(super) fn name(self) -> Option<&'static str> {
        match self {
            Self::Brotli => Some("br"),
            Self::Gzip => Some("gzip"),
            Self::Plain => None,
        }
    }
}

/// The smallest form that the client takes and there is; what it takes most gladly is not asked,
/// since browsers don't say.
pub(super) fn choose<'a>(
    accepted: impl Iterator<Item = &'a str>,
    there_is: impl Fn(Encoding) -> bool,
) -> Encoding {
    let offers: Vec<(&str, bool)> = accepted
        .flat_map(|value| value.split(','))
        .map(offer)
        .collect();
    let takes = |encoding: Encoding| {
        let name = encoding.name().unwrap_or_default();
        let of = |name: &str| {
            offers
                .iter()
                .find(|(offered, _)| offered.eq_ignore_ascii_case(name))
        };
        of(name)
            .or_else(|| of("*"))
            .is_some_and(|(_, taken)| *taken)
    };
    [Encoding::Brotli, Encoding::Gzip]
        .into_iter()
        .find(|encoding| takes(*encoding) && there_is(*encoding))
        .unwrap_or(Encoding::Plain)
}

/// `gzip;q=0.8`: a name, and whether it is taken at all.
fn offer(text: &str) -> (&str, bool) {
    let mut parts = text.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default();
    let quality = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
    let refused = quality.is_some_and(|q| q.parse::<f32>().is_ok_and(|q| q <= 0.0));
    (name, !refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_form_that_is_taken_and_there_is_sent() {
        let all = |header: &str| choose([header].into_iter(), |_| true);
        assert_eq!(all("gzip, deflate, br, zstd"), Encoding::Brotli);
        assert_eq!(all("gzip;q=1.0, br;q=0"), Encoding::Gzip);
        assert_eq!(all("GZIP"), Encoding::Gzip);
        assert_eq!(all("*"), Encoding::Brotli);
        assert_eq!(all("br;q=0, *"), Encoding::Gzip);
        assert_eq!(all("identity"), Encoding::Plain);
        assert_eq!(all(""), Encoding::Plain);
        assert_eq!(choose([].into_iter(), |_| true), Encoding::Plain);
        let no_brotli = choose(["br", "gzip"].into_iter(), |one| one != Encoding::Brotli);
        assert_eq!(no_brotli, Encoding::Gzip, "in two header lines");
    }
}

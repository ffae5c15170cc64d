//! Times, sizes and shares as people write them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

/// A text that is no time, size or share.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no {what}; write {example}")]
pub struct AmountError {
    text: String,
    what: &'static str,
    example: &'static str,
}

/// A number, or anything in a range; milliseconds or bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amount {
    from: u64,
    to: u64,
}

impl Amount {
    /// Always this.
    #[must_use]
    pub const fn exactly(value: u64) -> Self {
        Self {
            from: value,
            to: value,
        }
    }

    /// Anything from one to the other, both included, evenly spread.
    #[must_use]
    pub fn between(from: u64, to: u64) -> Self {
        Self {
            from,
            to: to.max(from),
        }
    }

    /// The value that a draw gives.
    #[must_use]
    pub fn at(self, draw: u64) -> u64 {
        match (self.to - self.from).checked_add(1) {
            Some(width) => self.from + draw % width,
            None => draw,
        }
    }

    /// The largest value.
    #[must_use]
    pub fn most(self) -> u64 {
        self.to
    }

    /// Reads `500ms`, `2s`, `1m..5m`.
    ///
    /// # Errors
    /// It is no time.
    pub fn parse_time(text: &str) -> Result<Self, AmountError> {
        Self::parse(text, "time", "`500ms`, `2s` or `1m..5m`", |part| {
            let time: Duration = match part {
                "0" => Duration::ZERO,
                part => humantime::parse_duration(part).ok()?,
            };
            u64::try_from(time.as_millis()).ok()
        })
    }

    /// Reads `400B`, `1KiB`, `1KiB..2MiB`; a number alone is bytes.
    ///
    /// # Errors
    /// It is no size.
    pub fn parse_size(text: &str) -> Result<Self, AmountError> {
        Self::parse(text, "size", "`400B`, `64KiB` or `1KiB..2MiB`", |part| {
            const UNITS: [(&str, u64); 4] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("B", 1), ("", 1)];
            UNITS.iter().find_map(|(unit, bytes)| {
                let number: u64 = part.strip_suffix(unit)?.trim().parse().ok()?;
                number.checked_mul(*bytes)
            })
        })
    }

    fn parse(
        text: &str,
        what: &'static str,
        example: &'static str,
        one: impl Fn(&str) -> Option<u64>,
    ) -> Result<Self, AmountError> {
        let (from, to) = text.split_once("..").unwrap_or((text, text));
        match (one(from.trim()), one(to.trim())) {
            (Some(from), Some(to)) if from <= to => Ok(Self { from, to }),
            _ => Err(AmountError {
                text: text.to_owned(),
                what,
                example,
            }),
        }
    }
}

pub(super) fn time<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Amount>, D::Error> {
    let amount = Amount::parse_time(&String::deserialize(from)?);
    amount.map(Some).map_err(serde::de::Error::custom)
}

pub(super) fn size<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Amount>, D::Error> {
    let amount = Amount::parse_size(&String::deserialize(from)?);
    amount.map(Some).map_err(serde::de::Error::custom)
}

/// How often something is so, in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share(u32);

impl Share {
    /// Never.
    pub const NONE: Self = Self(0);
    const WHOLE: u32 = 1_000_000;

    /// So many of a hundred.
    #[must_use]
    pub const fn percent(percent: u32) -> Self {
        Self(percent * (Self::WHOLE / 100))
    }

    /// Whether it is so for this draw.
    #[must_use]
    pub fn holds(self, draw: u64) -> bool {
        draw % u64::from(Self::WHOLE) < u64::from(self.0)
    }
}

impl FromStr for Share {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        let number = text.strip_suffix('%').map(str::trim);
        let percent: Option<f64> = number.and_then(|number| number.parse().ok());
        match percent {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "0 to 100 percent are 0 to 1,000,000 millionths"
            )]
            Some(percent) if (0.0..=100.0).contains(&percent) => {
                Ok(Self((percent * f64::from(Self::WHOLE / 100)).round() as u32))
            }
            _ => Err(AmountError {
                text: text.to_owned(),
                what: "share",
                example: "`2%` or `0.5%`",
            }),
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", f64::from(self.0) / f64::from(Self::WHOLE / 100))
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_as_people_write_them() {
        assert_eq!(Amount::parse_time("2s"), Ok(Amount::exactly(2_000)));
        assert_eq!(Amount::parse_time("0"), Ok(Amount::exactly(0)));
        assert_eq!(
            Amount::parse_time("500ms .. 1m"),
            Ok(Amount::between(500, 60_000))
        );
        assert_eq!(Amount::parse_size("400"), Ok(Amount::exactly(400)));
        assert_eq!(
            Amount::parse_size("1KiB..2MiB"),
            Ok(Amount::between(1024, 2 << 20))
        );
        for wrong in ["", "2", "1m..2s", "soon"] {
            let error = Amount::parse_time(wrong).unwrap_err().to_string();
            assert!(error.contains("is no time; write `500ms`"), "{error}");
        }
    }

    #[test]
    fn a_share_is_a_percentage() {
        assert_eq!("2%".parse(), Ok(Share::percent(2)));
        assert_eq!("0.5%".parse::<Share>().unwrap().to_string(), "0.5%");
        assert!("101%".parse::<Share>().is_err() && "0.1".parse::<Share>().is_err());
    }

    #[test]
    fn a_draw_stays_in_its_range() {
        assert_eq!(Amount::exactly(7).at(u64::MAX), 7);
        let range = Amount::between(3, 5);
        assert!((0..100).all(|draw| (3..=5).contains(&range.at(draw))));
    }
}

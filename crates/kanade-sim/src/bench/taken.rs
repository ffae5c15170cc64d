//! Measurements of one name: the median of some runs, and how far they are apart.

use std::collections::BTreeMap;

/// All measurements by name.
#[derive(Debug, Default)]
pub struct Taken {
    values: BTreeMap<&'static str, Vec<f64>>,
}

/// What is reported of one name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// The middle of all runs.
    pub median: f64,
    /// The smallest.
    pub least: f64,
    /// The largest.
    pub most: f64,
    /// How many runs.
    pub runs: usize,
}

impl Taken {
    /// One more run of a name.
    pub fn add(&mut self, name: &'static str, value: f64) {
        tracing::info!(name, value, "measured");
        self.values.entry(name).or_default().push(value);
    }

    /// The runs of a name; `None` when there was none.
    #[must_use]
    pub fn of(&self, name: &str) -> Option<Summary> {
        let mut values = self.values.get(name)?.clone();
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let half = values.len() / 2;
        let median = if values.len().is_multiple_of(2) {
            f64::midpoint(values[half - 1], values[half])
        } else {
            values[half]
        };
        Some(Summary {
            median,
            least,
            most,
            runs: values.len(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_and_the_spread_the_ends() {
        let mut taken = Taken::default();
        for value in [5.0, 1.0, 3.0] {
            taken.add("x", value);
        }
        let summary = taken.of("x").unwrap();
        assert_eq!(
            (summary.least, summary.median, summary.most),
            (1.0, 3.0, 5.0)
        );
        taken.add("x", 4.0);
        assert_eq!(taken.of("x").unwrap().median, 3.5);
        assert_eq!(taken.of("y"), None);
    }
}

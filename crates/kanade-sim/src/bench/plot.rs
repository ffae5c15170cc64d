//! Small charts as SVG text: lines over a linear axis from zero, side by side.
//!
//! Readable on light and dark pages; a line is told by its colour, its mark and its name.

use std::fmt::Write as _;

/// One line.
#[derive(Debug, Clone)]
pub struct Series {
    /// Its name.
    pub name: String,
    /// Its points, from left to right.
    pub points: Vec<(f64, f64)>,
}

/// One chart.
#[derive(Debug, Clone)]
pub struct Chart {
    /// What it shows, with the unit.
    pub title: String,
    /// What its axis counts.
    pub axis: String,
    /// Its lines, at most three.
    pub series: Vec<Series>,
    /// What was promised, as a dashed line.
    pub promise: Option<f64>,
}

const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 280.0;
const COLUMNS: usize = 2;
/// The room around the lines: left, right, top, bottom.
const LEFT: f64 = 56.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 48.0;

/// All charts in one picture.
#[must_use]
pub fn draw(charts: &[Chart]) -> String {
    let rows = charts.len().div_ceil(COLUMNS);
    #[expect(clippy::cast_precision_loss, reason = "a handful")]
    let (width, height) = (WIDTH * COLUMNS as f64, HEIGHT * rows as f64);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         width=\"{width}\" height=\"{height}\" role=\"img\">\n{STYLE}"
    );
    for (place, chart) in charts.iter().enumerate() {
        #[expect(clippy::cast_precision_loss, reason = "a handful")]
        let (x, y) = (
            WIDTH * (place % COLUMNS) as f64,
            HEIGHT * (place / COLUMNS) as f64,
        );
        // Writing to a string can't fail.
        let _ = writeln!(svg, "<g transform=\"translate({x} {y})\">");
        svg.push_str(&chart.draw());
        svg.push_str("</g>\n");
    }
    svg.push_str("</svg>\n");
    svg
}

const STYLE: &str = "<style>
svg { background: #fff; color: #1f2328; font: 12px system-ui, sans-serif; }
text { fill: currentColor; } .t { font-weight: 600; font-size: 13px; }
.g { stroke: #d0d7de; } .p { stroke: #8c959f; stroke-dasharray: 5 4; }
.l { fill: none; stroke-width: 2; }
.s0 { stroke: #0969da; } .s1 { stroke: #bc4c00; } .s2 { stroke: #1a7f37; }
.d0 { fill: #0969da; } .d1 { fill: #bc4c00; } .d2 { fill: #1a7f37; }
@media (prefers-color-scheme: dark) { svg { background: #0d1117; color: #e6edf3; }
.g { stroke: #30363d; } .s0 { stroke: #58a6ff; } .s1 { stroke: #f0883e; } .s2 { stroke: #3fb950; }
.d0 { fill: #58a6ff; } .d1 { fill: #f0883e; } .d2 { fill: #3fb950; } }
</style>
";

impl Chart {
    fn draw(&self) -> String {
        let mut out = format!(
            "<text class=\"t\" x=\"{LEFT}\" y=\"20\">{}</text>\n",
            self.title
        );
        let (most_x, most_y) = (nice(self.most(|point| point.0)), nice(self.highest()));
        let x = |value: f64| LEFT + value / most_x * (WIDTH - LEFT - RIGHT);
        let y = |value: f64| HEIGHT - BOTTOM - value / most_y * (HEIGHT - TOP - BOTTOM);
        let mut line = |text: String| {
            let _ = writeln!(out, "{text}");
        };
        for quarter in 0..=4 {
            let (at_x, at_y) = (
                most_x * f64::from(quarter) / 4.0,
                most_y * f64::from(quarter) / 4.0,
            );
            line(format!(
                "<line class=\"g\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{1:.1}\" y2=\"{1:.1}\"/>",
                WIDTH - RIGHT,
                y(at_y)
            ));
            line(format!(
                "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 6.0,
                y(at_y) + 4.0,
                label(at_y)
            ));
            line(format!(
                "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                x(at_x),
                HEIGHT - BOTTOM + 16.0,
                label(at_x)
            ));
        }
        line(format!(
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            LEFT + (WIDTH - LEFT - RIGHT) / 2.0,
            HEIGHT - 12.0,
            self.axis
        ));
        if let Some(promise) = self.promise.filter(|promise| *promise <= most_y) {
            line(format!(
                "<line class=\"p\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{1:.1}\" y2=\"{1:.1}\"/>",
                WIDTH - RIGHT,
                y(promise)
            ));
        }
        for (number, series) in self.series.iter().enumerate() {
            let points = series.points.iter();
            let text: Vec<String> = points
                .map(|point| format!("{:.1},{:.1}", x(point.0), y(point.1)))
                .collect();
            line(format!(
                "<polyline class=\"l s{number}\" points=\"{}\"/>",
                text.join(" ")
            ));
            for point in &series.points {
                line(mark(number, x(point.0), y(point.1)));
            }
            #[expect(clippy::cast_precision_loss, reason = "at most three")]
            let at = LEFT + number as f64 * 120.0;
            line(mark(number, at + 4.0, 33.0));
            line(format!(
                "<text x=\"{}\" y=\"37\">{}</text>",
                at + 12.0,
                series.name
            ));
        }
        out
    }

    fn highest(&self) -> f64 {
        self.most(|point| point.1).max(self.promise.unwrap_or(0.0))
    }

    fn most(&self, of: impl Fn(&(f64, f64)) -> f64) -> f64 {
        let points = self.series.iter().flat_map(|series| &series.points);
        points.map(of).fold(0.0, f64::max)
    }
}

/// A mark of its own shape for each line.
fn mark(number: usize, x: f64, y: f64) -> String {
    match number {
        0 => format!("<circle class=\"d0\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"/>"),
        1 => format!(
            "<rect class=\"d1\" x=\"{:.1}\" y=\"{:.1}\" width=\"8\" height=\"8\"/>",
            x - 4.0,
            y - 4.0
        ),
        _ => format!(
            "<path class=\"d2\" d=\"M{x:.1} {:.1} l5 9 h-10 z\"/>",
            y - 5.0
        ),
    }
}

/// The next round number that four parts divide well.
fn nice(value: f64) -> f64 {
    let value = value.max(f64::MIN_POSITIVE);
    let power = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 1.2, 2.0, 4.0, 6.0, 8.0, 10.0];
    let step = steps.iter().find(|step| **step * power >= value);
    step.map_or(10.0 * power, |step| step * power)
}

fn label(value: f64) -> String {
    if value == 0.0 || value >= 10.0 {
        format!("{value:.0}")
    } else {
        let text = format!("{value:.2}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_ends_at_a_round_number_above_all_points() {
        for (value, end) in [(0.03, 0.04), (1.7, 2.0), (10_000.0, 10_000.0), (61.0, 80.0)] {
            assert!((nice(value) - end).abs() < end / 1e6, "{value}");
        }
    }

    #[test]
    fn every_point_has_a_mark_and_every_line_its_name() {
        let chart = Chart {
            title: "Memory, MiB".to_owned(),
            axis: "agents".to_owned(),
            series: vec![Series {
                name: "broker".to_owned(),
                points: vec![(1_000.0, 50.0), (2_000.0, 100.0)],
            }],
            promise: Some(120.0),
        };
        let svg = draw(&[chart.clone(), chart]);
        assert_eq!(svg.matches("<circle").count(), 2 * 3);
        assert_eq!(svg.matches(">broker</text>").count(), 2);
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
    }
}

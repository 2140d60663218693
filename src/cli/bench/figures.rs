//! Figures, and the marks they are held against.

use std::fmt::Write as _;

use serde::Serialize;

/// How measured times lie, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Spread {
    pub(super) p50: f64,
    pub(super) p90: f64,
    pub(super) p99: f64,
    pub(super) max: f64,
}

impl Spread {
    /// Of times in microseconds; all zero when there are none.
    pub(super) fn of_micros(mut micros: Vec<u64>) -> Self {
        micros.sort_unstable();
        let at = |percent: usize| {
            // Nearest rank: the smallest value that so many percent do not exceed.
            let rank = (micros.len() * percent).div_ceil(100);
            micros.get(rank.saturating_sub(1)).map_or(0.0, |micros| ratio(*micros, 1000))
        };
        Self { p50: at(50), p90: at(90), p99: at(99), max: at(100) }
    }
}

/// A figure beside what it was meant to be.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Mark {
    pub(super) what: &'static str,
    pub(super) wanted: f64,
    pub(super) measured: f64,
    pub(super) met: bool,
}

impl Mark {
    pub(super) fn above(what: &'static str, wanted: f64, measured: f64) -> Self {
        Self { what, wanted, measured, met: measured > wanted }
    }

    pub(super) fn at_most(what: &'static str, wanted: f64, measured: f64) -> Self {
        Self { what, wanted, measured, met: measured <= wanted }
    }
}

/// The marks as lines for people.
pub(super) fn marks(marks: &[Mark]) -> String {
    let mut text = String::new();
    for Mark { what, wanted, measured, met } in marks {
        let verdict =
            if *met { "met".to_owned() } else { format!("missed by {:.0} %", missed_percent(*wanted, *measured)) };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {what}: {measured:.1} (mark {wanted:.1}, {verdict})");
    }
    text
}

fn missed_percent(wanted: f64, measured: f64) -> f64 {
    ((measured - wanted) / wanted).abs() * 100.0
}

/// One number in terms of another; zero of nothing.
pub(super) fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { approximate(part) / approximate(whole) }
}

pub(super) fn megabytes(bytes: u64) -> f64 {
    ratio(bytes, 1024 * 1024)
}

#[expect(clippy::cast_precision_loss, reason = "figures are rounded far above the 53rd bit")]
fn approximate(number: u64) -> f64 {
    number as f64
}

/// Which kind of program was measured: an unoptimised one says little.
pub(super) fn build() -> &'static str {
    if cfg!(debug_assertions) { "debug" } else { "release" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let spread = Spread::of_micros((1..=200).rev().map(|n| n * 1000).collect());
        assert_eq!(spread, Spread { p50: 100.0, p90: 180.0, p99: 198.0, max: 200.0 });
        let one = Spread::of_micros(vec![1500]);
        assert_eq!(one, Spread { p50: 1.5, p90: 1.5, p99: 1.5, max: 1.5 });
        assert!(Spread::of_micros(Vec::new()).max.abs() < f64::EPSILON);
    }

    #[test]
    fn a_missed_mark_says_by_how_much() {
        let text = marks(&[Mark::above("rate", 200.0, 150.0), Mark::at_most("p99", 7.0, 6.0)]);
        assert_eq!(text, "  rate: 150.0 (mark 200.0, missed by 25 %)\n  p99: 6.0 (mark 7.0, met)\n");
    }
}

//! Points and spans of time as plain numbers; the clock itself is a port.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// This moment moved forward by `span`.
    #[must_use]
    pub fn after(self, span: Seconds) -> Self {
        self.after_millis(i64::try_from(span.0.saturating_mul(1000)).unwrap_or(i64::MAX))
    }

    /// This moment moved by milliseconds, forward or back.
    #[must_use]
    pub fn after_millis(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// Milliseconds from `earlier` to this moment, never negative.
    pub fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0).max(0)
    }
}

impl fmt::Display for Timestamp {
    /// `2026-11-20 05:04 UTC`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(at) => write!(f, "{}", at.strftime("%Y-%m-%d %H:%M UTC")),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

/// A span in whole seconds, written `90s`, `5m`, `2h`, `7d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seconds(pub u64);

impl Seconds {
    /// The same span in milliseconds.
    pub fn millis(self) -> i64 {
        i64::try_from(self.0.saturating_mul(1000)).unwrap_or(i64::MAX)
    }

    /// The same span for timers.
    pub fn duration(self) -> std::time::Duration {
        std::time::Duration::from_secs(self.0)
    }
}

impl fmt::Display for Seconds {
    /// The two largest units: `6d 23h`, `2m 41s`, `9s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, hours, minutes, seconds) = (self.0 / 86_400, self.0 / 3600 % 24, self.0 / 60 % 60, self.0 % 60);
        match (days, hours, minutes) {
            (0, 0, 0) => write!(f, "{seconds}s"),
            (0, 0, _) => write!(f, "{minutes}m {seconds}s"),
            (0, _, _) => write!(f, "{hours}h {minutes}m"),
            _ => write!(f, "{days}d {hours}h"),
        }
    }
}

impl FromStr for Seconds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse =
            || format!("{text:?} is not a span: write a whole number with s, m, h or d, for example 10s or 7d");
        let unit = text.chars().last().ok_or_else(refuse)?;
        let factor = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            _ => return Err(refuse()),
        };
        let number: u64 = text[..text.len() - 1].parse().map_err(|_| refuse())?;
        number.checked_mul(factor).filter(|s| *s <= 366 * 86_400).map(Self).ok_or_else(refuse)
    }
}

/// When a lane wants to be run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// At this time, or when rung earlier.
    At(Timestamp),
    /// Only when rung.
    OnBell,
}

impl Wake {
    /// The earlier of two wishes.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::At(a), Self::At(b)) => Self::At(a.min(b)),
            (Self::At(a), Self::OnBell) | (Self::OnBell, Self::At(a)) => Self::At(a),
            (Self::OnBell, Self::OnBell) => Self::OnBell,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_and_write() {
        for (text, seconds, shown) in
            [("90s", 90, "1m 30s"), ("7d", 604_800, "7d 0h"), ("2h", 7200, "2h 0m"), ("9s", 9, "9s")]
        {
            let span: Seconds = text.parse().expect(text);
            assert_eq!((span.0, span.to_string().as_str()), (seconds, shown));
        }
        for bad in ["", "7", "d", "-1s", "1.5h", "1w", "999999d", "7é"] {
            assert!(bad.parse::<Seconds>().is_err(), "{bad}");
        }
    }
}

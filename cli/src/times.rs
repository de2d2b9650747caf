//! Points in time for people.

use std::time::{SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Now, in Unix seconds.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A point in time as it is seen from another: `in 3 days`, `2 hours ago`.
pub(crate) fn relative(at: u64, now: u64) -> String {
    let distance = at.abs_diff(now);
    if distance < 60 {
        return if at > now { "in a moment" } else { "just now" }.to_owned();
    }
    // Rounded: what ends in a day is not said to end in 23 hours a moment later.
    let mut rounded = UNITS.iter().map(|(size, unit, most)| ((distance + size / 2) / size, *unit, *most));
    let (count, unit, _) = rounded.find(|(count, _, most)| count < most).unwrap_or((distance, "second", 0));
    let plural = if count == 1 { "" } else { "s" };
    if at > now { format!("in {count} {unit}{plural}") } else { format!("{count} {unit}{plural} ago") }
}

/// Units with their seconds, and the number from which a larger one is taken.
const UNITS: [(u64, &str, u64); 5] = [
    (60, "minute", 60),
    (3_600, "hour", 24),
    (86_400, "day", 60),
    (2_592_000, "month", 24),
    (31_536_000, "year", u64::MAX),
];

/// A point in time in full, with its distance: `2027-01-01T00:00:00Z (in 3 days)`.
pub(crate) fn full(at: u64, now: u64) -> String {
    let moment = i64::try_from(at).ok().and_then(|at| OffsetDateTime::from_unix_timestamp(at).ok());
    let text = moment.and_then(|moment| moment.format(&Rfc3339).ok());
    format!("{} ({})", text.unwrap_or_else(|| at.to_string()), relative(at, now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_is_told_in_one_unit() {
        let now = 1_800_000_000;
        for (distance, said) in [
            (59, "in a moment"),
            (60, "in 1 minute"),
            (7_200, "in 2 hours"),
            (86_399, "in 1 day"),
            (86_400 * 365, "in 12 months"),
            (86_400 * 90, "in 3 months"),
        ] {
            assert_eq!(relative(now + distance, now), said);
        }
        for (distance, said) in
            [(0, "just now"), (3_599, "1 hour ago"), (86_400, "1 day ago"), (31_536_000 * 3, "3 years ago")]
        {
            assert_eq!(relative(now - distance, now), said);
        }
        assert_eq!(full(1_798_675_200, 1_798_675_200 - 86_400), "2026-12-31T00:00:00Z (in 1 day)");
    }
}

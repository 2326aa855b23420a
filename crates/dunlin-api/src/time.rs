//! A moment of wall time as the API writes it: RFC 3339, UTC, milliseconds.

use core::fmt;

use serde::{Serialize, Serializer};

/// Milliseconds since 1970-01-01T00:00:00Z. Written as `2026-11-24T15:00:00.000Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

/// 9999-12-31T23:59:59.999Z: the last moment that RFC 3339 can write; later ones are shown as this.
const LAST_MS: u64 = 253_402_300_799_999;

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.min(LAST_MS);
        let (days, in_day) = (ms / 86_400_000, ms % 86_400_000);
        let (year, month, day) = civil(days);
        let (hour, minute) = (in_day / 3_600_000, in_day / 60_000 % 60);
        let (second, milli) = (in_day / 1000 % 60, in_day % 1000);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z"
        )
    }
}

/// The date of the day `days` after 1970-01-01 in the Gregorian calendar, counted in years that begin in March
/// so that the leap day comes last.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

impl Timestamp {
    /// The moment of a date and a time of day in UTC, from 1970 on. `None` if there is no such day or time.
    pub(crate) fn of_date(date: (u64, u64, u64), time: (u64, u64, u64)) -> Option<Timestamp> {
        let ((year, month, day), (hour, minute, second)) = (date, time);
        if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || day == 0 {
            return None;
        }
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let (shifted, year_of) = if month > 2 {
            (month - 3, year)
        } else {
            (month + 9, year - 1)
        };
        let (era, of_era) = (year_of / 400, year_of % 400);
        let of_year = (153 * shifted + 2) / 5 + day - 1;
        let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year;
        let days = days.checked_sub(719_468)?;
        // The way back tells a 30th of February from a 2nd of March.
        (civil(days) == date).then_some(Timestamp(
            (days * 86_400 + hour * 3_600 + minute * 60 + second) * 1_000,
        ))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl utoipa::PartialSchema for Timestamp {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .description(Some("RFC 3339, UTC, with milliseconds."))
            .into()
    }
}

impl utoipa::ToSchema for Timestamp {
    fn name() -> std::borrow::Cow<'static, str> {
        "Timestamp".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_moments_and_impossible_ones_are_none() {
        for ms in [0, 951_782_400_000, 1_709_251_200_000, 4_107_542_400_000] {
            let date = civil(ms / 86_400_000);
            assert_eq!(Timestamp::of_date(date, (0, 0, 0)), Some(Timestamp(ms)));
        }
        let time = (23, 59, 59);
        assert_eq!(
            Timestamp::of_date((2024, 12, 31), time),
            Some(Timestamp(1_735_689_599_000))
        );
        for date in [
            (2023, 2, 29),
            (2024, 13, 1),
            (2024, 0, 1),
            (1969, 12, 31),
            (2024, 1, 0),
        ] {
            assert_eq!(Timestamp::of_date(date, time), None, "{date:?}");
        }
        assert_eq!(Timestamp::of_date((2024, 1, 1), (24, 0, 0)), None);
    }

    #[test]
    fn moments_are_written_as_rfc_3339() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_200_000, "2024-03-01T00:00:00.000Z"),
            (1_735_689_599_001, "2024-12-31T23:59:59.001Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (u64::MAX, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Timestamp(ms).to_string(), text);
        }
    }
}

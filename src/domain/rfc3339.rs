//! Dates and instants in the grammar of RFC 3339 (section 5.6), and in no other form.

use chrono::{DateTime, Datelike, NaiveDate, TimeDelta, Utc};

/// Minutes of a day.
const DAY: i64 = 24 * 60;

/// Reads a `full-date`, of the years 1 to 9999.
pub(super) fn full_date(text: &[u8]) -> Option<NaiveDate> {
    let [_, _, _, _, b'-', _, _, b'-', _, _] = text else { return None };
    let year = i32::try_from(number(&text[..4])?).ok().filter(|year| *year > 0)?;
    NaiveDate::from_ymd_opt(year, number(&text[5..7])?, number(&text[8..])?)
}

/// Reads a `date-time`, whose own year is from 1 to 9999. A leap second, which is the one after 23:59:59 in UTC, counts
/// as the next day's first.
pub(super) fn date_time(text: &[u8]) -> Option<DateTime<Utc>> {
    let (date, time) = text.split_at_checked(10)?;
    let date = full_date(date)?;
    let (time, rest) = time.split_at_checked(9)?;
    let [b'T' | b't', _, _, b':', _, _, b':', _, _] = time else { return None };
    let (hour, minute, second) = (number(&time[1..3])?, number(&time[4..6])?, number(&time[7..])?);
    let (nanos, offset) = fraction(rest)?;
    let offset = minutes(offset)?;
    let is_leap = second == 60;
    if is_leap && (i64::from(hour * 60 + minute) - offset).rem_euclid(DAY) != DAY - 1 {
        return None;
    }
    let local = date.and_hms_nano_opt(hour, minute, second - u32::from(is_leap), nanos)?;
    let local = local + TimeDelta::seconds(i64::from(is_leap));
    (local.year() <= 9999).then(|| (local - TimeDelta::minutes(offset)).and_utc())
}

/// The nanoseconds of a `time-secfrac`, if there is one, and what follows.
fn fraction(text: &[u8]) -> Option<(u32, &[u8])> {
    let Some(digits) = text.strip_prefix(b".") else { return Some((0, text)) };
    let (digits, rest) = digits.split_at(digits.iter().take_while(|byte| byte.is_ascii_digit()).count());
    let mut nanos = *b"000000000";
    let known = digits.len().min(nanos.len());
    nanos[..known].copy_from_slice(&digits[..known]);
    (!digits.is_empty()).then_some((number(&nanos)?, rest))
}

/// The minutes of a `time-offset`.
fn minutes(text: &[u8]) -> Option<i64> {
    let sign = match text {
        b"Z" | b"z" => return Some(0),
        [b'+', _, _, b':', _, _] => 1,
        [b'-', _, _, b':', _, _] => -1,
        _ => return None,
    };
    let (hours, minutes) = (number(&text[1..3])?, number(&text[4..])?);
    (hours <= 23 && minutes <= 59).then(|| sign * i64::from(hours * 60 + minutes))
}

/// A number of ASCII digits; few enough for it.
fn number(digits: &[u8]) -> Option<u32> {
    digits
        .iter()
        .try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + u32::from(digit - b'0')))
}

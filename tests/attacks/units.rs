//! Durations and bytes in words.

use std::time::Duration;

pub fn time(duration: Duration) -> String {
    match duration.as_secs_f64() * 1000.0 {
        millis @ ..10.0 => format!("{millis:.1} ms"),
        millis @ ..1000.0 => format!("{millis:.0} ms"),
        millis => format!("{:.1} s", millis / 1000.0),
    }
}

#[expect(clippy::cast_precision_loss, reason = "it is far from 2^52")]
pub fn bytes(bytes: u64) -> String {
    rate(bytes as f64)
}

pub fn rate(bytes: f64) -> String {
    match bytes {
        ..1024.0 => format!("{bytes:.0} B"),
        ..1_048_576.0 => format!("{:.0} KiB", bytes / 1024.0),
        _ => format!("{:.0} MiB", bytes / 1_048_576.0),
    }
}

#[expect(clippy::cast_precision_loss, reason = "it is far from 2^52")]
pub fn seconds(hundredths: u64) -> f64 {
    hundredths as f64 / 100.0
}

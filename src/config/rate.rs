//! How often something may happen: `<per second>`, or `<per second>:<at once>`.

use std::num::NonZeroU32;

use super::check::{ConfigError, digits, wrong};

/// Maximum of either number of a rate.
const MOST: u32 = 1_000_000;

/// How often something may happen: on average, and at once after a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Events per second, on average.
    pub per_second: NonZeroU32,
    /// Events at once, at most.
    pub burst: NonZeroU32,
}

impl Rate {
    /// Reads a rate; `off` means no limit.
    pub(super) fn parse(text: &str) -> Result<Option<Self>, ConfigError> {
        if text == "off" {
            return Ok(None);
        }
        let number = |text: &str| digits(text).filter(|number: &NonZeroU32| number.get() <= MOST);
        let (per_second, burst) = text.split_once(':').unwrap_or((text, text));
        match (number(per_second), number(burst)) {
            (Some(per_second), Some(burst)) => Ok(Some(Self { per_second, burst })),
            _ => Err(wrong(
                text,
                &format!("`<per second>` or `<per second>:<at once>`, from 1 to {MOST}, or `off`"),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Rate {
        /// A rate of whole numbers above zero.
        pub(crate) fn new(per_second: u32, burst: u32) -> Self {
            let [per_second, burst] = [per_second, burst].map(|number| NonZeroU32::new(number).unwrap());
            Self { per_second, burst }
        }
    }

    #[test]
    fn a_rate_is_one_number_or_two_and_off_is_none() {
        let read = Rate::parse;
        assert_eq!(read("20"), Ok(Some(Rate::new(20, 20))));
        assert_eq!(read("20:100"), Ok(Some(Rate::new(20, 100))));
        assert_eq!(read("off"), Ok(None));
        for text in
            ["0", "-1", "1.5", "1:", ":1", "1:0", "1:2:3", "many", "10000000", "none", "1 : 2", "+1", "1:+2"]
        {
            assert!(read(text).is_err(), "{text}");
        }
    }
}

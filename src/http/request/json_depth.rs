//! The limit on the nesting of a body.

/// Levels of arrays and objects in a body, at most. No field needs more than three. Also in an error's
/// message.
const MAX_DEPTH: usize = 64;

/// Whether a JSON text is nested deeper than [`MAX_DEPTH`]. For a text that is not JSON the result means
/// nothing.
pub(crate) fn is_too_deep(json: &str) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return true;
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_open_brackets_outside_of_strings_count() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(!is_too_deep(&nested(64)));
        assert!(is_too_deep(&nested(65)));
        assert!(is_too_deep(&format!("{}1", "{\"a\":".repeat(65))));
        assert!(!is_too_deep(&format!("{{\"title\":\"{}\"}}", "[{".repeat(100))));
        assert!(!is_too_deep(&format!("{{\"title\":\"\\\"{}\"}}", "[".repeat(100))));
        assert!(is_too_deep(&format!("{{\"title\":\"\\\\\",\"x\":{}", "[".repeat(64))));
        assert!(!is_too_deep(&format!("[{}]", "[],".repeat(1000))));
        assert!(!is_too_deep(&"]".repeat(100)));
    }
}

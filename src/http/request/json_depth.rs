//! How deep a body may be nested.

/// Levels of arrays and objects in a body at most. No field needs more than three.
const DEEPEST: usize = 64;

/// Whether a JSON text is nested deeper than [`DEEPEST`]. Of a text that is no JSON the answer says
/// nothing, but it comes.
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
                if depth > DEEPEST {
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
    fn brackets_count_only_outside_of_strings_and_while_they_are_open() {
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

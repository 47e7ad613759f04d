//! Group commit (placeholder, replaced in the next step).

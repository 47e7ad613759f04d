//! Puts the parts together (placeholder, replaced in the next step).

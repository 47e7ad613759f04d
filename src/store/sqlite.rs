//! The store (placeholder, replaced in the next step).

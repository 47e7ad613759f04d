//! Logs and metrics (placeholder, replaced in the next step).

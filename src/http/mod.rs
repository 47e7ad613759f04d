//! HTTP: routes, extraction, errors (placeholder, replaced in the next step).

//! What the PostgreSQL store promises beyond the common contract.

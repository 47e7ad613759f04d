//! What only the inside can provoke: panics, a full disk, a wrong setting.

//! The Python face of `ssehub`.

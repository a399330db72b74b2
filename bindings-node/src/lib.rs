//! The Node face of `ssehub`.

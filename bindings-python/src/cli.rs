//! The command line. `__main__.py` hands over its arguments.

use std::ffi::OsString;

use pyo3::prelude::*;

/// Runs a command with these arguments, the program's name not among them. Blocks, without the GIL. The exit status.
#[pyfunction]
pub(crate) fn run_cli(py: Python<'_>, args: Vec<OsString>) -> u8 {
    py.detach(|| ssehub::cli::main(args))
}

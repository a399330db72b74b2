//! The Python face of `ssehub`: what is exported, and nothing else. Each file holds the noun of the same file in core.
#![expect(
    clippy::doc_markdown,
    reason = "the comments on what is exported are Python's docstrings, in Python's words"
)]

mod cli;
mod client;
mod data;
mod engine;
mod error;
mod event;
mod hub;
mod options;
mod parser;
mod process;
mod selector;
mod subscription;

use pyo3::prelude::*;

#[pymodule(gil_used = false)]
mod _ssehub {
    #[pymodule_export]
    use crate::cli::run_cli;
    #[pymodule_export]
    use crate::client::{PyEventSource, PyWake};
    #[pymodule_export]
    use crate::engine::{PyReports, PySlot};
    #[pymodule_export]
    use crate::event::{PyEvent, encode};
    #[pymodule_export]
    use crate::hub::PyHub;
    #[pymodule_export]
    use crate::parser::PyParser;
    #[pymodule_export]
    use crate::selector::{PyEnd, PyGap, PySelector};
    #[pymodule_export]
    use crate::subscription::PySubscription;

    use super::{Bound, PyModule, PyModuleMethods, PyResult};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}

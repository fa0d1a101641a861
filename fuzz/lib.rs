//! The checks of the fuzz targets. The test command replays the same checks over the seeds and the corpus.

#[path = "../tests/vectors/checks/mod.rs"]
pub mod checks;

//! The program `mirrorlab` and the harness behind it.

//! The program `mirrorlab`.

fn main() {}

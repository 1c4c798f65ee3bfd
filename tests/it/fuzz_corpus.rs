//! Replays the corpus of the fuzz targets on the stable toolchain.

use shelltrack_tests::binary::repository;
use shelltrack_tests::corpus::{check_each_target_has_a_driver, replay};

#[path = "../../fuzz/drivers.rs"]
mod drivers;

#[test]
fn every_file_of_the_corpus_keeps_the_promises() {
    replay(&repository().join("fuzz"), &drivers::DRIVERS);
}

#[test]
fn every_fuzz_target_has_a_driver_and_every_driver_a_target() {
    check_each_target_has_a_driver(&repository().join("fuzz"), &drivers::DRIVERS);
}

//! Replays the corpus of the fuzz targets that need wasmtime, and looks a little further on its own.

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use shelltrack_sandbox::testing::Hostile;
use shelltrack_tests::corpus::{check_each_target_has_a_driver, replay};

#[path = "../../../../fuzz/sandbox/drivers.rs"]
mod drivers;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/sandbox")
}

#[test]
fn every_file_of_the_corpus_keeps_the_promises() {
    replay(&fuzz(), &drivers::DRIVERS);
}

#[test]
fn every_fuzz_target_has_a_driver_and_every_driver_a_target() {
    check_each_target_has_a_driver(&fuzz(), &drivers::DRIVERS);
}

/// The corpus of `loader` is made from the hostile components, small enough to be mutated with effect.
/// `UPDATE_GOLDEN=1` writes it anew, where the contract has changed.
#[test]
fn the_hostile_components_keep_the_promises_of_the_loader() {
    for hostile in Hostile::ALL {
        let component = hostile.component();
        drivers::loader(&component);
        if std::env::var_os("UPDATE_GOLDEN").is_some() && (component.len() < 1024 || hostile == Hostile::Trap)
        {
            std::fs::write(fuzz().join("corpus/loader").join(format!("{hostile:?}")), component).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_sandbox_answers_as_the_native_crate_does(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        drivers::sandbox_call(&bytes);
    }

    #[test]
    fn damaged_components_load_or_give_a_typed_error(
        damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut component = Hostile::Trap.component();
        for (at, byte) in damage {
            let at = at.index(component.len());
            component[at] = byte;
        }
        drivers::loader(&component);
    }
}

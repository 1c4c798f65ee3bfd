//! Replays the corpus of the fuzz targets that need wasmtime, and looks a little further on its own.

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use shelltrack_sandbox::testing::Hostile;

#[path = "../../../../fuzz/sandbox/drivers.rs"]
mod drivers;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/sandbox")
}

#[test]
fn every_file_of_the_corpus_keeps_the_promises() {
    for (target, drive) in drivers::DRIVERS {
        let corpus = fuzz().join("corpus").join(target);
        let files: Vec<_> = std::fs::read_dir(&corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(!files.is_empty(), "{} is empty", corpus.display());
        for file in files {
            // Seen only when a promise is broken, and then it is what one wants to know.
            eprintln!("{}", file.display());
            drive(&std::fs::read(&file).unwrap());
        }
    }
}

#[test]
fn every_fuzz_target_has_a_driver_and_every_driver_a_target() {
    let targets = std::fs::read_dir(fuzz().join("fuzz_targets")).unwrap();
    let mut targets: Vec<_> = targets.map(|entry| entry.unwrap().path()).collect();
    targets.sort();
    let targets: Vec<_> = targets.iter().map(|path| path.file_stem().unwrap().to_str().unwrap()).collect();
    assert_eq!(targets, drivers::DRIVERS.map(|(target, _)| target));
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

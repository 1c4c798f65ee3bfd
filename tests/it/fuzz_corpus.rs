//! Replays the corpus of the fuzz targets on the stable toolchain.

use shelltrack_tests::binary::repository;

#[path = "../../fuzz/drivers.rs"]
mod drivers;

#[test]
fn every_file_of_the_corpus_keeps_the_promises() {
    for (target, drive) in drivers::DRIVERS {
        let corpus = repository().join("fuzz/corpus").join(target);
        let files: Vec<_> = std::fs::read_dir(&corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(!files.is_empty(), "{} is empty", corpus.display());
        for file in files {
            // Seen only when the oracle panics, and then it is what one wants to know.
            eprintln!("{}", file.display());
            drive(&std::fs::read(&file).unwrap());
        }
    }
}

#[test]
fn every_fuzz_target_has_a_driver_and_every_driver_a_target() {
    let targets = std::fs::read_dir(repository().join("fuzz/fuzz_targets")).unwrap();
    let mut targets: Vec<String> = targets
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    targets.sort();
    let mut drivers: Vec<&str> = drivers::DRIVERS.iter().map(|(target, _)| *target).collect();
    drivers.sort_unstable();
    assert_eq!(targets, drivers);
}

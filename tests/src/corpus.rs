//! Replays the corpus of fuzz targets on the stable toolchain. What a target does with its bytes is a driver's
//! business.

use std::path::Path;

/// What a fuzz target does with its bytes; it panics when a promise is broken.
pub type Driver = fn(&[u8]);

/// Hands every file of `WORKSPACE/corpus/TARGET` to the target's driver.
///
/// # Panics
/// When a promise is broken, or a corpus is empty.
#[track_caller]
pub fn replay(workspace: &Path, drivers: &[(&str, Driver)]) {
    for (target, drive) in drivers {
        let corpus = workspace.join("corpus").join(target);
        let files: Vec<_> = std::fs::read_dir(&corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(!files.is_empty(), "{} is empty", corpus.display());
        for file in files {
            // Seen only when a promise is broken, and then it is what one wants to know.
            eprintln!("{}", file.display());
            drive(&std::fs::read(&file).unwrap());
        }
    }
}

/// Asserts that `WORKSPACE/fuzz_targets` has one file for each driver, and no other.
///
/// # Panics
/// When it has not.
#[track_caller]
pub fn check_each_target_has_a_driver(workspace: &Path, drivers: &[(&str, Driver)]) {
    let targets = std::fs::read_dir(workspace.join("fuzz_targets")).unwrap();
    let mut targets: Vec<String> = targets
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    targets.sort();
    let mut drivers: Vec<&str> = drivers.iter().map(|(target, _)| *target).collect();
    drivers.sort_unstable();
    assert_eq!(targets, drivers);
}

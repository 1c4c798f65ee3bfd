//! The papers say what is there: the README's commands exist, every file says what it is for.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use shelltrack_tests::binary::repository;

/// A file is read in one go; what is longer belongs into several.
const LINES_MAX: usize = 400;

/// ARCHITECTURE.md is a map, not the country.
const ARCHITECTURE_LINES_MAX: usize = 150;

fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn rust_files(directory: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let path = entry.path();
        let skipped = ["target", ".git"].iter().any(|name| path.ends_with(name));
        if path.is_dir() && !skipped {
            rust_files(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

#[test]
fn the_commands_of_the_readme_can_be_run() {
    let readme = read("README.md");
    for command in ["try", "check", ".ci/run", ".ci/darwin"] {
        let mode = fs::metadata(repository().join(command)).unwrap().permissions().mode();
        assert!(mode & 0o111 != 0, "{command} is not executable");
    }
    for command in ["./try", "./check"] {
        assert!(readme.lines().any(|line| line.starts_with(command)), "the README does not say {command}");
    }
}

#[test]
fn every_source_file_is_short_and_says_what_it_does() {
    let mut files = Vec::new();
    for room in ["guest", "host", "tests", "fuzz", "examples"] {
        rust_files(&repository().join(room), &mut files);
    }
    let mut faults = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let lines = text.lines().count();
        if !text.starts_with("//!") {
            faults.push(format!("{} does not open with //!", file.display()));
        }
        if lines > LINES_MAX {
            faults.push(format!("{} has {lines} lines, more than {LINES_MAX}", file.display()));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn the_architecture_fits_on_its_page_and_names_rooms_that_exist() {
    let architecture = read("ARCHITECTURE.md");
    assert!(architecture.lines().count() <= ARCHITECTURE_LINES_MAX);
    let named = architecture.split('`').skip(1).step_by(2);
    let rooms = named.filter(|name| {
        ["wit/", "guest/", "host/", "tests/", "fuzz/", ".ci/"].iter().any(|top| name.starts_with(top))
            && !name.contains([' ', '*'])
    });
    for room in rooms {
        assert!(repository().join(room).exists(), "ARCHITECTURE.md names {room}, which does not exist");
    }
}

#[test]
fn each_promise_of_the_readme_names_tests_that_exist() {
    let readme = read("README.md");
    let (_, promises) = readme.split_once("\n## What is promised\n").unwrap();
    let promises = promises.split("\n## ").next().unwrap();
    let rows: Vec<&str> = promises.lines().filter(|line| line.starts_with("| **")).collect();
    assert!(rows.len() >= 4, "{promises}");
    let mut files = Vec::new();
    for room in ["host", "tests"] {
        rust_files(&repository().join(room), &mut files);
    }
    let code: String = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    for row in rows {
        let kept_by = row.rsplit('|').nth(1).unwrap();
        let named: Vec<&str> = kept_by.split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "no test keeps this: {row}");
        for name in named {
            let file = repository().join("tests/it").join(name);
            assert!(
                file.is_file() || code.contains(&format!("fn {name}()")),
                "there is no test {name}: {row}"
            );
        }
    }
}

//! Components from files: the digest decides, the cache is ours alone, and damage there does no harm.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use shelltrack_sandbox::testing::Hostile;
use shelltrack_sandbox::{COMPONENT, Error, Profile, Sandbox};

struct Files {
    dir: tempfile::TempDir,
    digest: String,
}

impl Files {
    fn new(component: &[u8]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("component.wasm"), component).unwrap();
        let digest = Sha256::digest(component).iter().map(|byte| format!("{byte:02x}")).collect();
        Self { dir, digest }
    }

    fn cache(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    fn load(&self) -> Result<Sandbox, Error> {
        self.load_as(&self.digest)
    }

    fn load_as(&self, digest: &str) -> Result<Sandbox, Error> {
        Sandbox::from_file(&self.dir.path().join("component.wasm"), digest, &self.cache(), Profile::OneShot)
    }

    fn entry(&self) -> PathBuf {
        let mut entries: Vec<_> =
            fs::read_dir(self.cache()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(entries.len(), 1, "{entries:?}");
        entries.pop().unwrap()
    }
}

fn mode(path: &Path) -> u32 {
    path.symlink_metadata().unwrap().permissions().mode() & 0o7777
}

#[track_caller]
fn check_refused(result: Result<Sandbox, Error>, said: &str) {
    let error = result.err().expect("it must be refused");
    assert!(matches!(&error, Error::Load(text) if text.contains(said)), "{error}");
}

#[test]
fn a_component_from_a_file_is_compiled_once_and_kept_where_only_we_can_write() {
    let files = Files::new(&Hostile::Trap.component());
    let sandbox = files.load().unwrap();
    assert!(matches!(sandbox.bind_session("", ""), Err(Error::Trap { .. })));
    assert_eq!((mode(&files.cache()), mode(&files.entry())), (0o700, 0o600));

    let written = fs::metadata(files.entry()).unwrap().modified().unwrap();
    let sandbox = files.load_as(&files.digest.to_uppercase()).unwrap();
    assert!(matches!(sandbox.bind_session("", ""), Err(Error::Trap { .. })));
    assert_eq!(fs::metadata(files.entry()).unwrap().modified().unwrap(), written, "taken from the cache");
}

#[test]
fn the_built_in_component_can_come_from_a_file_as_well() {
    Files::new(COMPONENT).load().unwrap();
}

#[test]
fn another_digest_is_refused_before_anything_is_compiled() {
    let files = Files::new(&Hostile::Trap.component());
    check_refused(files.load_as(&"0".repeat(64)), "SHA-256");
    assert!(!files.cache().exists());
}

#[test]
fn a_damaged_entry_of_the_cache_is_made_anew() {
    let files = Files::new(&Hostile::Trap.component());
    files.load().unwrap();
    let whole = fs::read(files.entry()).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for damaged in [&whole[..whole.len() / 2], &whole[..10], &[], &flipped] {
        fs::write(files.entry(), damaged).unwrap();
        let sandbox = files.load().unwrap();
        assert!(matches!(sandbox.bind_session("", ""), Err(Error::Trap { .. })));
        assert_eq!(fs::read(files.entry()).unwrap().len(), whole.len());
    }
}

#[test]
fn an_entry_that_others_may_write_is_not_loaded() {
    let files = Files::new(&Hostile::Trap.component());
    files.load().unwrap();
    fs::set_permissions(files.entry(), fs::Permissions::from_mode(0o666)).unwrap();
    files.load().unwrap();
    assert_eq!(mode(&files.entry()), 0o600, "made anew");
}

#[test]
fn a_cache_that_is_a_link_or_open_to_others_is_refused() {
    let files = Files::new(&Hostile::Trap.component());
    let elsewhere = files.dir.path().join("elsewhere");
    fs::DirBuilder::new().mode(0o700).create(&elsewhere).unwrap();
    symlink(&elsewhere, files.cache()).unwrap();
    check_refused(files.load(), "cache");
    fs::remove_file(files.cache()).unwrap();

    fs::create_dir(files.cache()).unwrap();
    fs::set_permissions(files.cache(), fs::Permissions::from_mode(0o755)).unwrap();
    check_refused(files.load(), "0700");
    fs::remove_dir(files.cache()).unwrap();

    fs::write(files.cache(), "").unwrap();
    check_refused(files.load(), "cache");
}

#[test]
fn a_cache_that_cannot_be_made_costs_time_and_nothing_else() {
    let files = Files::new(&Hostile::Trap.component());
    let nowhere = Path::new("/proc/self/nowhere/cache");
    let path = files.dir.path().join("component.wasm");
    Sandbox::from_file(&path, &files.digest, nowhere, Profile::OneShot).unwrap();
}

#[test]
fn what_is_no_file_or_too_large_is_refused() {
    let files = Files::new(&vec![0; (4 << 20) + 1]);
    check_refused(files.load(), "more than");
    let refused = |path: &Path| Sandbox::from_file(path, &files.digest, &files.cache(), Profile::OneShot);
    check_refused(refused(files.dir.path()), "regular file");
    check_refused(refused(Path::new("/dev/null")), "regular file");
    check_refused(refused(&files.dir.path().join("missing")), "No such file");
}

//! Key files: made once, private, rotated without a restart; what others could read is refused.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed unwrap is a failed test")]

use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::*;
use crate::Refusal;

const NOW_S: u64 = 1_795_166_392;

fn directory() -> (TempDir, PathBuf) {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("data/keys");
    (temporary, path)
}

fn token(ring: &Keyring) -> String {
    ring.signing_key(false).unwrap().mint("ada", Scopes::ALL, 60, NOW_S).unwrap()
}

#[test]
fn the_first_server_makes_a_private_secret_that_its_clients_find() {
    let (_temporary, path) = directory();
    let server = Keyring::open_or_create(&path, None).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    let files = names(&path).unwrap();
    assert_eq!((files.len(), mode(&files[0])), (1, 0o600));
    let client = Keyring::open(&path, None).unwrap();
    assert!(server.verify(&token(&client), NOW_S).is_ok());
    assert!(client.signing_key(true).is_none(), "it is for servers of this machine");
    Keyring::open_or_create(&path, None).unwrap();
    assert_eq!(names(&path).unwrap(), files);
}

#[test]
fn servers_that_start_together_make_one_secret() {
    let (_temporary, path) = directory();
    std::thread::scope(|scope| {
        let starts: Vec<_> =
            (0..8).map(|_| scope.spawn(|| Keyring::open_or_create(&path, None).unwrap())).collect();
        let rings: Vec<_> = starts.into_iter().map(|start| start.join().unwrap()).collect();
        let token = token(&rings[0]);
        assert!(rings.iter().all(|ring| ring.verify(&token, NOW_S).is_ok()));
    });
    assert_eq!(names(&path).unwrap().len(), 1);
}

#[test]
fn what_is_taken_from_a_key_in_its_file_is_taken_from_its_tokens() {
    let (_temporary, path) = directory();
    let server = Keyring::open(&path, None).unwrap();
    let public = server.add_identity("engine", Scopes::ALL).unwrap();
    let token = token(&server);
    let file = path.join(format!("{}.jwk", public.kid));
    let narrow = fs::read_to_string(&file).unwrap().replace("\"track\",", "");
    // The file stays the same one, and so the directory shows no sign of it; old enough not to be read always.
    let old = SystemTime::now() - 10 * CLOCK_TICK;
    fs::File::open(&path).unwrap().set_modified(old).unwrap();
    assert!(server.verify(&token, NOW_S).unwrap().scopes.track);
    fs::write(&file, narrow).unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while server.verify(&token, NOW_S).unwrap().scopes.track {
        assert!(Instant::now() < deadline, "nobody noticed");
        std::thread::yield_now();
    }
}

#[test]
fn after_a_rotation_the_secret_before_still_holds_and_older_ones_do_not() {
    let (_temporary, path) = directory();
    let server = Keyring::open_or_create(&path, None).unwrap();
    let operator = Keyring::open(&path, None).unwrap();
    let first = token(&server);
    let kid = operator.rotate().unwrap();
    assert_eq!(server.signing_key(false).unwrap().kid(), Some(kid.as_str()));
    let second = token(&server);
    assert!(server.verify(&first, NOW_S).is_ok() && server.verify(&second, NOW_S).is_ok());
    operator.rotate().unwrap();
    assert_eq!(server.verify(&first, NOW_S), Err(Refusal::UnknownKey));
    assert!(server.verify(&second, NOW_S).is_ok());
    assert_eq!(names(&path).unwrap().len(), SECRETS_MAX);
}

#[test]
fn a_key_file_that_is_filled_after_it_was_seen_empty_is_read() {
    let (_temporary, path) = directory();
    let machine = Keyring::open(&path, None).unwrap();
    let public = machine.add_identity("engine", Scopes::ALL).unwrap();
    let (_elsewhere, servers) = directory();
    let server = Keyring::open_or_create(&servers, None).unwrap();
    let file = servers.join("engine.jwk");
    fs::write(&file, "").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    // Changed long ago, so that nothing but what failed asks for another look.
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    fs::File::open(&servers).unwrap().set_modified(long_ago).unwrap();
    assert_eq!(server.verify(&token(&machine), NOW_S), Err(Refusal::UnknownKey));
    fs::write(&file, &public.jwk).unwrap();
    assert!(server.verify(&token(&machine), NOW_S).is_ok());
}

#[test]
fn a_server_needs_only_the_public_half() {
    let (_temporary, path) = directory();
    let machine = Keyring::open(&path, None).unwrap();
    let public = machine.add_identity("engine", Scopes::ALL).unwrap();
    let (_elsewhere, servers) = directory();
    let server = Keyring::open_or_create(&servers, None).unwrap();
    assert_eq!(server.verify(&token(&machine), NOW_S), Err(Refusal::UnknownKey));
    let file = servers.join("engine.jwk");
    fs::write(&file, &public.jwk).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(server.verify(&token(&machine), NOW_S).unwrap().proven.as_deref(), Some("engine"));
    assert!(!public.jwk.contains("\"d\""));
    assert!(server.signing_key(true).is_none(), "a public key signs nothing");
}

#[test]
fn the_secret_of_the_environment_stands_for_the_files() {
    let (_temporary, path) = directory();
    let files = Keyring::open_or_create(&path, None).unwrap();
    let ring = Keyring::open(&path, Some("0123456789abcdef0123456789abcdef")).unwrap();
    assert_eq!(ring.signing_key(true).unwrap().kid(), None);
    assert_eq!(ring.verify(&token(&files), NOW_S), Err(Refusal::UnknownKey));
    assert!(Keyring::open_or_create(&path.join("none"), Some("0123456789abcdef0123456789abcdef")).is_ok());
    assert!(!path.join("none").exists(), "a secret that is given needs no file");
}

#[test]
fn short_secrets_are_refused() {
    let (_temporary, path) = directory();
    for secret in ["", "0123456789abcdef0123456789abcde", "ääääääääääääääääääääääääääääää"]
    {
        assert!(matches!(Keyring::open(&path, Some(secret)), Err(KeyError::ShortSecret(_))), "{secret}");
    }
}

#[test]
fn private_keys_that_others_can_read_are_refused() {
    let (_temporary, path) = directory();
    Keyring::open_or_create(&path, None).unwrap();
    let file = &names(&path).unwrap()[0];
    fs::set_permissions(file, fs::Permissions::from_mode(0o640)).unwrap();
    let told = Keyring::open(&path, None).unwrap_err().to_string();
    assert!(told.contains("chmod 600") && told.contains(file.to_str().unwrap()), "{told}");
}

#[test]
fn what_is_no_key_is_told_by_its_file_and_not_repeated() {
    let good = r#""kid":"a","use":"sig""#;
    for text in [
        "secret junk".to_owned(),
        "{}".into(),
        format!(r#"{{"kty":"oct","alg":"none",{good},"k":"secret"}}"#),
        format!(r#"{{"kty":"oct","alg":"HS256",{good},"k":"c2VjcmV0"}}"#),
        format!(r#"{{"kty":"OKP","alg":"EdDSA","crv":"Ed25519",{good},"x":"c2VjcmV0","sub":"a"}}"#),
        format!(r#"{{"kty":"OKP","alg":"EdDSA","crv":"Ed25519",{good},"x":"{}"}}"#, "A".repeat(43)),
        format!(r#"{{"kty":"oct","alg":"HS256",{good},"k":"{}","surprise":1}}"#, "A".repeat(43)),
    ] {
        let (_temporary, path) = directory();
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("bad.jwk"), &text).unwrap();
        fs::set_permissions(path.join("bad.jwk"), fs::Permissions::from_mode(0o600)).unwrap();
        let told = Keyring::open(&path, None).unwrap_err().to_string();
        assert!(told.contains("bad.jwk") && !told.contains("secret"), "{told}");
    }
}

#[test]
fn keys_that_cannot_be_read_anew_leave_the_old_ones_in_force() {
    let (_temporary, path) = directory();
    let server = Keyring::open_or_create(&path, None).unwrap();
    let token = token(&server);
    fs::write(path.join("half.jwk"), "{").unwrap();
    assert!(server.verify(&token, NOW_S).is_ok());
}

#[test]
fn a_key_shows_nothing_of_itself() {
    let key = Key::from_secret("0123456789abcdef0123456789abcdef").unwrap();
    assert!(!format!("{key:?}").contains("0123456789"));
}

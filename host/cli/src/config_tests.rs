//! Which of several sources holds, and what is refused.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

use super::*;

fn layer(text: &str) -> Layer {
    toml::from_str(text).unwrap()
}

fn flags(said: SessionBuddy) -> Layer {
    Layer { session_buddy: said, ..Layer::default() }
}

#[track_caller]
fn check_target(layers: [Layer; 3], project: Option<&str>, expected: &Target) {
    let merged = merge(layers).unwrap();
    let database = Path::new("/data/sessions.db");
    assert_eq!(&target(&merged.session_buddy, database, project.map(OsStr::new)).unwrap(), expected);
}

fn http(url: &str) -> Target {
    Target::Http { url: url.to_owned() }
}

#[test]
fn flags_come_before_variables_before_the_file() {
    let file = layer("[session-buddy]\nurl = 'http://file/mcp'");
    let variables = layer("[session-buddy]\nurl = 'http://variable/mcp'");
    let typed = SessionBuddy { url: Some("http://flag/mcp".to_owned()), ..SessionBuddy::default() };
    check_target([flags(typed), variables.clone(), file.clone()], None, &http("http://flag/mcp"));
    check_target([Layer::default(), variables, file.clone()], None, &http("http://variable/mcp"));
    check_target([Layer::default(), Layer::default(), file], None, &http("http://file/mcp"));
}

#[test]
fn a_url_in_a_variable_beats_a_transport_in_the_file() {
    let file = layer("[session-buddy]\ntransport = 'stdio'\ncommand = '/bin/server'");
    let variables = layer("[session-buddy]\nurl = 'http://variable/mcp'");
    check_target([Layer::default(), variables, file], None, &http("http://variable/mcp"));
}

#[test]
fn arguments_of_another_program_are_not_inherited() {
    let file = layer("[session-buddy]\ncommand = '/bin/one'\nargs = ['a']");
    let variables = layer("[session-buddy]\ncommand = '/bin/two'");
    let expected = Target::Stdio { command: PathBuf::from("/bin/two"), args: Vec::new() };
    check_target([Layer::default(), variables, file], None, &expected);
}

#[test]
fn without_configuration_the_embedded_one_is_used() {
    let expected = Target::Embedded { database: PathBuf::from("/data/sessions.db") };
    check_target([Layer::default(), Layer::default(), Layer::default()], None, &expected);
}

#[test]
fn a_checkout_of_the_python_one_is_used_only_when_nothing_else_is_said() {
    let nothing = || [Layer::default(), Layer::default(), Layer::default()];
    let merged = merge(nothing()).unwrap();
    let database = Path::new("/data/sessions.db");
    let found = target(&merged.session_buddy, database, Some(OsStr::new("/srv/buddy"))).unwrap();
    let Target::Stdio { command, args } = found else { panic!("{found:?}") };
    assert!(command.ends_with("uv"));
    assert_eq!(args, ["--directory", "/srv/buddy", "run", "python", "-m", "session_buddy"]);
    let file = layer("[session-buddy]\nurl = 'http://file/mcp'");
    let said = [Layer::default(), Layer::default(), file];
    check_target(said, Some("/srv/buddy"), &http("http://file/mcp"));
}

#[test]
fn http_without_a_url_means_the_usual_place() {
    let file = layer("[session-buddy]\ntransport = 'http'");
    check_target([Layer::default(), Layer::default(), file], None, &http(URL_DEFAULT));
}

#[test]
fn an_unknown_key_of_the_file_is_told_with_its_line_and_what_is_allowed() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("config.toml");
    std::fs::write(&path, "# ours\n[session-buddy]\nurll = 'x'\n").unwrap();
    let message = read_file(&path, false).unwrap_err().to_string();
    assert!(message.contains("config.toml: line 3: unknown field `urll`"), "{message}");
    assert!(message.contains("`transport`, `url`"), "{message}");
    assert!(!message.contains('\n'));
}

#[test]
fn only_a_file_that_was_named_has_to_exist() {
    let missing = Path::new("/nonexistent/config.toml");
    assert_eq!(read_file(missing, false).unwrap(), Layer::default());
    assert!(read_file(missing, true).is_err());
}

#[test]
fn a_url_holds_a_host_and_no_secret() {
    assert_eq!(check_url("http://127.0.0.1:8678/mcp"), Ok(()));
    assert_eq!(check_url("https://[::1]:1/mcp"), Ok(()));
    assert!(check_url("https://[::1]:1/mcp?token=secret").is_err());
    assert!(check_url("127.0.0.1:8678").is_err());
    assert!(check_url("http:///mcp").is_err());
    assert!(check_url("http://me:secret@host/mcp").is_err());
    assert!(check_url("http://host/a b").is_err());
}

#[test]
fn a_stdio_transport_needs_a_program() {
    let merged = merge([layer("[session-buddy]\ntransport = 'stdio'"), Layer::default(), Layer::default()]);
    let said = merged.unwrap().session_buddy;
    let message = target(&said, Path::new("/data/sessions.db"), None).unwrap_err().to_string();
    assert!(message.contains("session-buddy.command"), "{message}");
}

#[test]
fn url_and_command_together_need_a_transport() {
    let both = "[session-buddy]\nurl = 'http://h/mcp'\ncommand = '/bin/x'";
    assert!(merge([layer(both), Layer::default(), Layer::default()]).is_err());
    let decided = layer(&format!("{both}\ntransport = 'http'"));
    check_target([decided, Layer::default(), Layer::default()], None, &http("http://h/mcp"));
}

#[test]
fn redaction_that_the_component_would_ignore_is_refused() {
    let short = Redaction { secret_prefixes: Some(vec!["abc".to_owned()]), ..Redaction::default() };
    assert!(policy(short).unwrap_err().to_string().contains("redaction.secret_prefixes"));
    let many = Redaction { secret_keys: Some(vec!["key".to_owned(); 65]), ..Redaction::default() };
    assert!(policy(many).is_err());
}

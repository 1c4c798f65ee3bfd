//! The sandbox from the outside: what the built-in component is, what it answers, and what becomes of
//! hostile ones. What the answers must be is tested where the logic is, in `guest`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail by panic")]

mod calls;
mod file;
mod golden;
mod hostile;
mod tools;
mod work;

use shelltrack_sandbox::types::*;

fn policy() -> Policy {
    Policy {
        hide_cwd: false,
        hide_home: false,
        hide_hostname: false,
        hide_username: false,
        secret_keys: Vec::new(),
        secret_prefixes: Vec::new(),
    }
}

fn start_context() -> StartContext {
    StartContext {
        component_name: "mahavishnu".into(),
        shell_type: "MahavishnuShell".into(),
        pid: 4242,
        user: UserInfo { username: "ada".into(), home: "/home/ada".into() },
        hostname: "engine".into(),
        environment: EnvironmentInfo {
            python_version: "3.13.0".into(),
            platform: "Linux x86_64".into(),
            cwd: "/home/ada/project".into(),
        },
        metadata: r#"{"version":"1.2.3"}"#.into(),
        correlation_id: Some("6f9619ff-8b86-4d01-b42d-00c04fc964ff".into()),
        origin: None,
        event_id: None,
        timestamp: None,
    }
}

fn end_context() -> EndContext {
    EndContext {
        exit_status: Some(7),
        exit_reason: ExitReason::Exited,
        metadata: String::new(),
        correlation_id: None,
        started_at: None,
        event_id: None,
        timestamp: None,
    }
}

//! Service definitions for the agent, as text: a systemd user unit, a launchd agent.

use std::fmt::Write;

/// Name of the launchd job.
const LAUNCHD_LABEL: &str = "io.github.shelltrack.agent";

/// What a service has to know.
#[derive(Debug, Default)]
pub(crate) struct Service {
    /// The program, absolute, and its arguments.
    pub(crate) command: Vec<String>,
    /// Variables that say where things are, where they are not where they usually are.
    pub(crate) environment: Vec<(String, String)>,
}

/// The systemd user unit.
pub(crate) fn systemd(service: &Service) -> String {
    // Variables are looked for in arguments, neither in the program's path nor in assignments.
    let words = service.command.iter().enumerate();
    let command: Vec<_> =
        words.map(|(at, word)| systemd_word(word, if at == 0 { "$" } else { "$$" })).collect();
    let mut environment = String::new();
    for (name, value) in &service.environment {
        // Writing to a string cannot fail.
        let _ = writeln!(environment, "Environment={}", systemd_word(&format!("{name}={value}"), "$"));
    }
    format!(
        "\
[Unit]
Description=shelltrack agent: delivers the records of this user's shells
Documentation={documentation}

[Service]
Type=notify
NotifyAccess=main
ExecStart={command}
{environment}Restart=on-failure
RestartSec=5
# It says so every 5 s, also while it waits for a server.
WatchdogSec=120
TimeoutStopSec=30
UMask=0077
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6

[Install]
WantedBy=default.target
",
        command = command.join(" "),
        documentation = env!("CARGO_PKG_REPOSITORY"),
    )
}

/// One word of a unit file: `%` begins a specifier (systemd.unit(5)); how a dollar sign is written depends
/// on the place (systemd.service(5)).
fn systemd_word(word: &str, dollar: &str) -> String {
    let mut quoted = String::from("\"");
    for c in word.chars() {
        match c {
            '%' => quoted.push_str("%%"),
            '$' => quoted.push_str(dollar),
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// The property list of a launchd agent.
pub(crate) fn launchd(service: &Service) -> String {
    let words = service
        .command
        .iter()
        .fold(String::new(), |words, word| words + &format!("        <string>{}</string>\n", xml(word)));
    let pairs = service.environment.iter().fold(String::new(), |pairs, (name, value)| {
        pairs + &format!("        <key>{}</key>\n        <string>{}</string>\n", xml(name), xml(value))
    });
    format!(
        "\
<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">
<plist version=\"1.0\">
<dict>
    <key>Label</key>
    <string>{LAUNCHD_LABEL}</string>
    <key>ProgramArguments</key>
    <array>
{words}    </array>
    <key>EnvironmentVariables</key>
    <dict>
{pairs}    </dict>
    <key>RunAtLoad</key>
    <true/>
    <key>KeepAlive</key>
    <dict>
        <key>SuccessfulExit</key>
        <false/>
    </dict>
    <key>ProcessType</key>
    <string>Background</string>
    <key>Umask</key>
    <integer>63</integer>
</dict>
</plist>
"
    )
}

fn xml(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service() -> Service {
        Service {
            command: ["/opt/a b/100%/$x/shell\"track", "agent", "$y"].map(str::to_owned).to_vec(),
            environment: vec![("XDG_STATE_HOME".to_owned(), "/s<&>".to_owned())],
        }
    }

    #[test]
    fn a_strange_path_stays_one_word_of_the_unit() {
        let unit = systemd(&service());
        let expected = r#"ExecStart="/opt/a b/100%%/$x/shell\"track" "agent" "$$y""#;
        assert!(unit.lines().any(|line| line == expected), "{unit}");
    }

    #[test]
    fn a_strange_path_stays_text_in_the_property_list() {
        let plist = launchd(&service());
        assert!(plist.contains("<string>/s&lt;&amp;&gt;</string>"), "{plist}");
    }
}

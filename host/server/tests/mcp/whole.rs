//! Sessions as a whole: leases, figures, resources, and all of them out and in.

use std::time::Duration;

use serde_json::{Value, json};
use shelltrack_server::{Imported, Server, Writing};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use crate::{Fixture, PATIENCE, ask, connect, end, sandbox, start, with};

#[tokio::test]
async fn open_sessions_are_renewed_and_lost_when_nobody_does() {
    let fixture = Fixture::new();
    let client = fixture.client().await;
    let id = ask(&client, "track_session_start", start(1)).await["session_id"].clone();
    let renewal =
        json!({"session_ids": [id, "nobody"], "timestamp": "2024-11-20T09:19:59Z", "lease_seconds": 1});
    let mut answer = ask(&client, "track_session_activity", renewal).await;
    answer.as_object_mut().unwrap().remove("timestamp").unwrap();
    assert_eq!(answer, json!({"status": "renewed", "renewed": [id], "unknown": ["nobody"], "error": null}));
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let lost = loop {
        let shown = ask(&client, "show_session", json!({"session_id": id})).await;
        if shown["session"]["state"] != "active" || tokio::time::Instant::now() > deadline {
            break shown;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    assert_eq!(
        (&lost["session"]["state"], &lost["session"]["exit_reason"]),
        (&json!("lost"), &json!("expired"))
    );
    assert_eq!(lost["session"]["end_time"], "2024-11-20T09:19:59.000000Z");
    let again = json!({"session_ids": [id], "timestamp": "2024-11-20T09:20:09Z"});
    assert_eq!(ask(&client, "track_session_activity", again).await["renewed"], json!([id]));
    let alive = ask(&client, "show_session", json!({"session_id": id})).await;
    assert_eq!((&alive["session"]["state"], &alive["session"]["end_time"]), (&json!("active"), &Value::Null));
}

#[tokio::test]
async fn renewals_are_refused_in_one_shape_with_every_rule() {
    let fixture = Fixture::new();
    let client = fixture.client().await;
    let time = "2024-11-20T09:19:59Z";
    for (wrong, rules) in [
        (json!({}), vec!["session_ids required", "timestamp required"]),
        (json!({"session_ids": [], "timestamp": time}), vec!["session_ids empty"]),
        (json!({"session_ids": "a", "timestamp": 7}), vec!["session_ids wrong-type", "timestamp wrong-type"]),
        (json!({"session_ids": vec!["a"; 1001], "timestamp": time}), vec!["session_ids too-many"]),
        (
            json!({"session_ids": ["a", 7, "", "x".repeat(201)], "timestamp": "yesterday"}),
            vec![
                "session_ids[1] wrong-type",
                "session_ids[2] empty",
                "session_ids[3] too-long",
                "timestamp bad-format",
            ],
        ),
        (
            json!({"session_ids": ["a"], "timestamp": time, "lease_seconds": 0}),
            vec!["lease_seconds out-of-range"],
        ),
        (
            json!({"session_ids": ["a"], "timestamp": time, "lease_seconds": 1.5}),
            vec!["lease_seconds out-of-range"],
        ),
        (
            json!({"session_ids": ["a"], "timestamp": time, "lease_seconds": "1"}),
            vec!["lease_seconds wrong-type"],
        ),
        (json!({"session_ids": ["a"], "timestamp": time, "leas": 1}), vec!["leas unknown-field"]),
    ] {
        let answer = ask(&client, "track_session_activity", wrong).await;
        assert_eq!((&answer["status"], &answer["renewed"]), (&json!("error"), &json!([])), "{answer}");
        let told = answer["violations"].as_array().unwrap().iter();
        let told = told.map(|broken| format!("{} {}", broken["field"], broken["rule"]).replace('"', ""));
        assert_eq!(told.collect::<Vec<_>>(), rules, "{answer}");
        assert!(
            answer["error"].as_str().unwrap().starts_with(rules[0].split(' ').next().unwrap()),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn figures_are_counted_by_component() {
    let fixture = Fixture::new();
    let client = fixture.client().await;
    let id = ask(&client, "track_session_start", start(1)).await["session_id"].clone();
    ask(&client, "track_session_end", end(&id, 2)).await;
    ask(&client, "track_session_start", with(start(3), "component_name", json!("akosha"))).await;
    let stats = ask(&client, "session_stats", json!({})).await;
    assert_eq!((&stats["total"]["sessions"], &stats["total"]["active"]), (&json!(2), &json!(1)), "{stats}");
    assert_eq!(stats["components"][1]["component_name"], "mahavishnu");
    assert_eq!(stats["components"][1]["duration_seconds_average"], 8.5);
    let one = ask(&client, "session_stats", json!({"component_name": "akosha"})).await;
    assert_eq!(one["total"]["sessions"], 1);
}

#[tokio::test]
async fn sessions_are_resources() {
    let fixture = Fixture::new();
    let client = fixture.client().await;
    let id = ask(&client, "track_session_start", start(1)).await["session_id"].clone();
    let uri = format!("session://{}", id.as_str().unwrap());
    let resources = client.list_all_resources().await.unwrap();
    assert_eq!(resources.iter().map(|resource| resource.uri.as_str()).collect::<Vec<_>>(), [&uri]);
    let templates = client.list_all_resource_templates().await.unwrap();
    assert_eq!(templates[0].uri_template, "session://{id}");
    let read = client.read_resource(rmcp::model::ReadResourceRequestParams::new(uri)).await.unwrap();
    let text = serde_json::to_value(read).unwrap()["contents"][0]["text"].as_str().unwrap().to_owned();
    let shown = ask(&client, "show_session", json!({"session_id": id})).await;
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), shown["session"]);
    for unknown in ["session://nobody", "session://", "file:///etc/passwd"] {
        let request = rmcp::model::ReadResourceRequestParams::new(unknown);
        assert!(client.read_resource(request).await.is_err(), "{unknown}");
    }
}

#[tokio::test]
async fn what_is_exported_can_be_taken_in_elsewhere_and_is_the_same() {
    let (here, there) = (Fixture::new(), Fixture::new());
    let client = here.client().await;
    let id = ask(&client, "track_session_start", start(1)).await["session_id"].clone();
    ask(&client, "track_session_end", end(&id, 2)).await;
    // Of one moment: their order is that in which they came.
    for number in 3..9 {
        ask(&client, "track_session_start", start(number)).await;
    }
    let exported = here.server().export(None).await.unwrap().lines;
    let server = there.server();
    for line in &exported {
        assert_eq!(server.import(line).await.unwrap(), Imported::New, "{line}");
        assert_eq!(server.import(line).await.unwrap(), Imported::Known);
    }
    assert_eq!(server.export(None).await.unwrap().lines, exported);
    let hostile = exported[0].replace("\"mahavishnu\"", "\"no spaces\"");
    for line in [hostile.as_str(), "{}", "junk", ""] {
        assert!(matches!(server.import(line).await.unwrap(), Imported::Refused(_)), "{line}");
    }
}

#[tokio::test]
async fn a_command_hands_over_what_it_wants_written_while_a_server_has_the_file_open() {
    let (here, there) = (Fixture::new(), Fixture::new());
    let client = here.client().await;
    let id = ask(&client, "track_session_start", start(1)).await["session_id"].clone();
    ask(&client, "track_session_end", end(&id, 2)).await;
    let line = here.server().export(None).await.unwrap().lines[0].clone();

    let server = there.server();
    let writing = Writing::open(&there.path, sandbox()).await.unwrap();
    assert!(matches!(writing, Writing::HandedOver(_)));
    assert_eq!(writing.import(&line).await.unwrap(), Imported::New);
    assert_eq!(writing.import(&line).await.unwrap(), Imported::Known);
    assert!(matches!(writing.import("junk").await.unwrap(), Imported::Refused(_)));
    assert_eq!(writing.archive(Duration::ZERO).await.unwrap(), 1);
    assert_eq!(server.export(None).await.unwrap().lines.len(), 1);
    drop(server);
    let gone = writing.archive(Duration::ZERO).await.unwrap_err().to_string();
    assert!(gone.contains("try again") || gone.contains("closed"), "{gone}");
}

#[tokio::test]
async fn a_file_is_one_file_by_whatever_name_and_however_deep_it_lies() {
    if !cfg!(target_os = "linux") {
        return shelltrack_tests::skip("sockets are named by descriptors on Linux only");
    }
    let fixture = Fixture::new();
    let deep = fixture.path.with_file_name("d".repeat(150));
    let (file, link) = (deep.join("sessions.db"), fixture.path.with_file_name("link.db"));
    let _server = Server::open(&file, sandbox()).unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    for name in [&file, &link] {
        let writing = Writing::open(name, sandbox()).await.unwrap();
        assert!(matches!(writing, Writing::HandedOver(_)), "{}", name.display());
        assert_eq!(writing.archive(Duration::ZERO).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn a_command_writes_alone_when_nobody_has_the_file_open_and_keeps_others_out_meanwhile() {
    let fixture = Fixture::new();
    for _ in 0..2 {
        let writing = Writing::open(&fixture.path, sandbox()).await.unwrap();
        assert!(matches!(writing, Writing::Alone(..)));
        assert_eq!(writing.archive(Duration::ZERO).await.unwrap(), 0);
        let refused = Server::open(&fixture.path, sandbox()).err().unwrap().to_string();
        assert!(refused.contains("locked"), "{refused}");
        drop(writing);
        drop(fixture.server());
    }
}

#[tokio::test]
async fn a_call_that_is_cancelled_is_not_answered_and_stores_what_was_with_the_store() {
    let fixture = Fixture::new();
    let server = fixture.server();
    let (reading, mut writing) = tokio::io::split(connect(server.clone()));
    let mut lines = BufReader::new(reading).lines();
    let mut send = async |message: Value| writing.write_all(format!("{message}\n").as_bytes()).await.unwrap();
    send(
        json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-11-25",
        "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}}}),
    )
    .await;
    lines.next_line().await.unwrap().unwrap();
    send(json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await;
    let other = shelltrack_tests::store::lock(&fixture.path);
    send(json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call",
        "params": {"name": "track_session_start", "arguments": start(1)}}))
    .await;
    send(json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 2}})).await;
    let mut other = Some(other);
    for id in [3, 4] {
        send(json!({"jsonrpc": "2.0", "id": id, "method": "ping"})).await;
        let answer = tokio::time::timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().unwrap();
        assert_eq!(serde_json::from_str::<Value>(&answer).unwrap()["id"], id, "{answer}");
        drop(other.take()); // now the store goes on
    }
    let client = crate::serve_client(server).await;
    let again = ask(&client, "track_session_start", start(1)).await;
    assert_eq!(again["status"], "tracked");
    assert_eq!(ask(&client, "list_sessions", json!({})).await["count"], 1);
}

//! Sessions as a whole: leases, figures, resources, and all of them out and in.

use std::time::Duration;

use serde_json::{Value, json};
use shelltrack_server::{Imported, Server, Writing};

use crate::{Fixture, PATIENCE, ask, end, sandbox, start, with};

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
    for wrong in [
        json!({"session_ids": [], "timestamp": "2024-11-20T09:19:59Z"}),
        json!({"session_ids": vec!["a"; 1001], "timestamp": "2024-11-20T09:19:59Z"}),
        json!({"session_ids": ["a"], "timestamp": "yesterday"}),
        json!({"session_ids": ["a"], "timestamp": "2024-11-20T09:19:59Z", "lease_seconds": 0}),
    ] {
        let answer = ask(&client, "track_session_activity", wrong).await;
        assert_eq!(answer["status"], "error", "{answer}");
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
    ask(&client, "track_session_start", start(3)).await;
    let exported = here.server().export(None).await.unwrap().lines;
    let server = there.server();
    for line in &exported {
        assert_eq!(server.import(line).await.unwrap(), Imported::New, "{line}");
        assert_eq!(server.import(line).await.unwrap(), Imported::Known);
    }
    assert_eq!(server.export(None).await.unwrap().lines.len(), 2);
    for line in &server.export(None).await.unwrap().lines {
        assert!(exported.contains(line), "{line} is none of {exported:#?}");
    }
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

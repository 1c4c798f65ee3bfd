//! A scripted Session-Buddy that keeps events by their id, as a good one does, and answers as it is
//! told. Shares no code with the client.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Value, json};
use uuid::Uuid;

/// How one call of a tool is answered.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// As a good server does.
    Good,
    /// `isError: false`, `status: "error"`.
    StatusError(&'static str),
    /// `isError: true` and a text.
    ToolError(&'static str),
    /// A JSON-RPC error.
    RpcError(i32, &'static str),
    /// What our own server says whose database cannot be written.
    StoreError,
    /// This instead of a message.
    Raw(&'static str),
    /// The answer to another question.
    WrongId,
    /// Nothing, ever. The event is not stored.
    Silence,
    /// The event is stored, and nothing is said of it.
    StoredInSilence,
    /// A good answer, that many milliseconds late.
    Late(u64),
    /// Half of a good answer, then the end of the connection.
    HalfAndHangUp,
    /// The end of the connection. The event is not stored.
    Dies,
}

/// What to do with a request.
pub(super) enum Reply {
    Line(String, u64),
    Nothing,
    /// These bytes, then the end.
    HangUp(String),
}

#[derive(Default)]
struct State {
    next: VecDeque<Answer>,
    always: Option<Answer>,
    /// How calls are answered whose arguments hold this text.
    those: Vec<(String, Answer)>,
    tools: Option<Vec<&'static str>>,
    /// Calls of tools: name and arguments, whatever was answered.
    calls: Vec<(String, Value)>,
    /// Event ids of stored starts and ends, by session key.
    stored: HashMap<String, Vec<(String, String)>>,
    /// Our ids by their keys.
    ids: HashMap<String, String>,
}

/// The server.
#[derive(Clone, Default)]
pub(super) struct Buddy(Arc<Mutex<State>>);

impl Buddy {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// How the next calls of tracking tools are answered; after that well.
    pub(super) fn answer_next(&self, answers: impl IntoIterator<Item = Answer>) {
        self.state().next.extend(answers);
    }

    /// How every call of a tracking tool is answered from now on.
    pub(super) fn answer_always(&self, answer: Option<Answer>) {
        self.state().always = answer;
    }

    /// How every call of a tracking tool is answered that names this session's key.
    pub(super) fn answer_session(&self, key: Uuid, answer: Answer) {
        self.state().those.push((key.to_string(), answer));
    }

    /// Offers these tools only.
    pub(super) fn offer(&self, tools: &[&'static str]) {
        self.state().tools = Some(tools.to_vec());
    }

    /// Calls of one tool so far.
    pub(super) fn calls(&self, tool: &str) -> Vec<Value> {
        let state = self.state();
        state.calls.iter().filter(|(name, _)| name == tool).map(|(_, arguments)| arguments.clone()).collect()
    }

    /// What is stored of a session, in order: `start`, `end` with the reason of the end.
    pub(super) fn stored(&self, key: Uuid) -> Vec<String> {
        let state = self.state();
        let stored = state.stored.get(&key.to_string());
        stored.into_iter().flatten().map(|(what, _)| what.clone()).collect()
    }

    /// How many sessions are stored.
    pub(super) fn count(&self) -> usize {
        self.state().stored.len()
    }

    #[track_caller]
    pub(super) fn check_stored_once(&self, key: Uuid) {
        assert_eq!(self.stored(key), ["start", "end exited"], "session {key}");
    }

    /// Answers one line.
    pub(super) fn hear(&self, line: &str) -> Reply {
        let Ok(request) = serde_json::from_str::<Value>(line) else { return Reply::Nothing };
        let id = request["id"].clone();
        if id.is_null() {
            return Reply::Nothing;
        }
        let said =
            |result: Value| Reply::Line(json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string(), 0);
        match request["method"].as_str().unwrap_or_default() {
            "initialize" => said(json!({
                "protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
                "serverInfo": {"name": "sim", "version": "1"},
            })),
            "ping" => said(json!({})),
            "tools/list" => {
                let usual = ["track_session_start", "track_session_end", "health_check"];
                let tools = self.state().tools.clone().unwrap_or_else(|| usual.to_vec());
                let tools = tools.iter().map(|name| json!({"name": name, "inputSchema": {"type": "object"}}));
                said(json!({"tools": tools.collect::<Vec<_>>()}))
            }
            "tools/call" => self.call(&id, &request["params"]),
            _ => Reply::Line(
                json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32601, "message": "Method not found"}})
                    .to_string(),
                0,
            ),
        }
    }

    fn call(&self, id: &Value, params: &Value) -> Reply {
        let mut state = self.state();
        let tool = params["name"].as_str().unwrap_or_default().to_owned();
        let arguments = params["arguments"].clone();
        state.calls.push((tool.clone(), arguments.clone()));
        let answer = match tool.as_str() {
            "health_check" => Answer::Good,
            _ => state.answer_to(&arguments),
        };
        let frame =
            |id: &Value, body: &Value| json!({"jsonrpc": "2.0", "id": id, "result": body}).to_string();
        let structured =
            |content: Value| json!({"content": [], "structuredContent": content, "isError": false});
        let mut good = |id: &Value| frame(id, &structured(state.store(&tool, &arguments)));
        match answer {
            Answer::Good => Reply::Line(good(id), 0),
            Answer::Late(ms) => Reply::Line(good(id), ms),
            Answer::WrongId => Reply::Line(frame(&json!(987_654), &structured(json!({}))), 0),
            Answer::HalfAndHangUp => {
                let whole = good(id);
                Reply::HangUp(whole.get(..whole.len() / 2).unwrap_or_default().to_owned())
            }
            Answer::StoredInSilence => {
                good(id);
                Reply::Nothing
            }
            Answer::Silence => Reply::Nothing,
            Answer::Dies => Reply::HangUp(String::new()),
            Answer::Raw(bytes) => Reply::Line(bytes.to_owned(), 0),
            Answer::StatusError(words) => {
                let content = json!({"session_id": null, "status": "error", "error": words});
                Reply::Line(frame(id, &structured(content)), 0)
            }
            Answer::ToolError(words) => {
                let body = json!({"content": [{"type": "text", "text": words}], "isError": true});
                Reply::Line(frame(id, &body), 0)
            }
            Answer::RpcError(code, words) => {
                let error = json!({"code": code, "message": words});
                Reply::Line(json!({"jsonrpc": "2.0", "id": id, "error": error}).to_string(), 0)
            }
            Answer::StoreError => {
                let error = json!({"code": -32603, "message": "the disk is full", "data": {"kind": "store"}});
                Reply::Line(json!({"jsonrpc": "2.0", "id": id, "error": error}).to_string(), 0)
            }
        }
    }
}

impl State {
    fn answer_to(&mut self, arguments: &Value) -> Answer {
        let text = arguments.to_string();
        let of_these =
            self.those.iter().find(|(part, _)| text.contains(part)).map(|(_, answer)| answer.clone());
        of_these.or_else(|| self.next.pop_front()).or_else(|| self.always.clone()).unwrap_or(Answer::Good)
    }

    /// Stores an event once, and gives the structured answer.
    fn store(&mut self, tool: &str, arguments: &Value) -> Value {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        match tool {
            "track_session_start" => {
                let key = text(&arguments["metadata"]["correlation_id"]);
                let id = format!("sim-20260101-000000-{}", key.get(..8).unwrap_or_default());
                self.ids.insert(id.clone(), key.clone());
                self.keep(key, "start".to_owned(), text(&arguments["event_id"]));
                json!({"session_id": id, "status": "tracked", "error": null})
            }
            "track_session_end" => {
                let id = text(&arguments["session_id"]);
                let Some(key) = self.ids.get(&id).cloned() else {
                    return json!({"session_id": id, "status": "not_found", "error": "no such session"});
                };
                let metadata = &arguments["metadata"];
                let what = format!("end {}", text(&metadata["exit_reason"]));
                self.keep(key, what, text(&metadata["event_id"]));
                json!({"session_id": id, "status": "ended", "error": null})
            }
            "track_session_activity" => json!({
                "status": "renewed", "renewed": arguments["session_ids"], "unknown": [], "error": null,
                "timestamp": arguments["timestamp"],
            }),
            _ => json!({"status": "ok"}),
        }
    }

    fn keep(&mut self, key: String, what: String, event_id: String) {
        let events = self.stored.entry(key).or_default();
        if !events.iter().any(|(_, known)| *known == event_id) {
            events.push((what, event_id));
        }
    }
}

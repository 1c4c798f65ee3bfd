//! A scripted Session-Buddy: speaks MCP over HTTP, answers as it is told and remembers what it heard.
//!
//! It is what the real servers are on their bad days. It knows JSON-RPC 2.0 and the few methods of MCP
//! a tracking client needs, nothing of sessions; it shares no code with the client or the server.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};

/// A request larger than this is a defect of the client: events are a few kilobytes.
const BODY_BYTES_MAX: usize = 1 << 20;

/// How long an idle connection is kept; bounds the life of its thread.
const IDLE: Duration = Duration::from_secs(60);

/// What the fake does when a tool is called.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// What a good server says: `tracked` with a new id, `ended`, or `ok`.
    Good,
    /// `isError: false`, `status: "error"` and this message (the Python server's first error shape).
    StatusError(&'static str),
    /// `isError: true` and text only (its second shape; its third one for a refused token).
    ToolError(&'static str),
    /// An HTTP status with these headers and no body.
    Http(u16, &'static [(&'static str, &'static str)]),
    /// Something that is neither JSON nor an answer.
    Garbled,
    /// `structuredContent` as given.
    Content(Value),
    /// An error of JSON-RPC with this code.
    RpcError(i32),
    /// The answer is stored on the server's side but the connection breaks before it is heard.
    HeardThenCut,
}

/// One call of a tool.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Name of the tool.
    pub tool: String,
    /// Its arguments.
    pub arguments: Value,
    /// How it was answered.
    pub answer: Answer,
}

#[derive(Default)]
struct Script {
    /// Answers to the next calls of tracking tools; [`Answer::Good`] when it is empty.
    next: VecDeque<Answer>,
    /// Answers to calls of tracking tools whose arguments hold this text.
    those: Vec<(String, Answer)>,
    calls: Vec<Call>,
    tools: Vec<String>,
    sessions: u64,
}

impl Script {
    fn answer_to(&mut self, tool: &str, arguments: &Value) -> Answer {
        let arguments = arguments.to_string();
        let mut those = self.those.iter().filter(|_| tool.starts_with("track_session"));
        let answer = those.find(|(text, _)| arguments.contains(text)).map(|(_, answer)| answer.clone());
        answer.or_else(|| self.next.pop_front()).unwrap_or(Answer::Good)
    }
}

/// The fake. Ends when dropped.
pub struct FakeSessionBuddy {
    address: SocketAddr,
    script: Arc<Mutex<Script>>,
    stop: Arc<AtomicBool>,
    down: Arc<AtomicBool>,
    listener: Option<JoinHandle<()>>,
}

impl Default for FakeSessionBuddy {
    fn default() -> Self {
        Self::start()
    }
}

impl FakeSessionBuddy {
    /// One with the tracking tools and `health_check`.
    pub fn start() -> Self {
        Self::with_tools(&["track_session_start", "track_session_end", "health_check"])
    }

    /// One with these tools only.
    pub fn with_tools(tools: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let tools = tools.iter().map(|tool| (*tool).to_owned()).collect();
        let script = Arc::new(Mutex::new(Script { tools, ..Script::default() }));
        let (stop, down) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (its_script, its_stop, its_down) = (Arc::clone(&script), Arc::clone(&stop), Arc::clone(&down));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if its_stop.load(Ordering::SeqCst) {
                    break;
                }
                let (script, down) = (Arc::clone(&its_script), Arc::clone(&its_down));
                std::thread::spawn(move || serve(stream, &script, &down));
            }
        });
        Self { address, script, stop, down, listener: Some(thread) }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// Configuration of a client of it.
    pub fn config(&self) -> String {
        format!("[session-buddy]\ntransport = \"http\"\nurl = \"{}\"\n", self.url())
    }

    /// While down, it breaks every connection before it says a word.
    pub fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }

    /// Decides how the next calls of tools are answered.
    pub fn answer_next(&self, answers: impl IntoIterator<Item = Answer>) {
        self.script.lock().unwrap().next.extend(answers);
    }

    /// Decides how every call of a tracking tool is answered whose arguments hold this text.
    pub fn answer_those_with(&self, text: &str, answer: Answer) {
        self.script.lock().unwrap().those.push((text.to_owned(), answer));
    }

    /// Answers well again.
    pub fn answer_well(&self) {
        let mut script = self.script.lock().unwrap();
        (script.next, script.those) = (VecDeque::new(), Vec::new());
    }

    /// Calls of tools so far, in the order they came.
    pub fn calls(&self) -> Vec<Call> {
        self.script.lock().unwrap().calls.clone()
    }

    /// Calls of one tool so far that were answered well.
    pub fn accepted(&self, tool: &str) -> Vec<Value> {
        let calls = self.calls().into_iter();
        calls
            .filter(|call| call.tool == tool && call.answer == Answer::Good)
            .map(|call| call.arguments)
            .collect()
    }
}

impl Drop for FakeSessionBuddy {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the listener, which then sees that it should end.
        let _ = TcpStream::connect(self.address);
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
    }
}

/// Serves one connection: one request after another, until either side closes.
fn serve(stream: TcpStream, script: &Mutex<Script>, down: &AtomicBool) {
    let _ = stream.set_read_timeout(Some(IDLE));
    let Ok(mut to) = stream.try_clone() else { return };
    let mut from = BufReader::new(stream);
    while !down.load(Ordering::SeqCst) {
        let Some((method, body)) = read_request(&mut from) else { return };
        if down.load(Ordering::SeqCst) {
            return;
        }
        let reply = if method == "POST" { answer_post(&body, script) } else { http(405, &[], "") };
        let Some(reply) = reply else { return };
        if to.write_all(reply.as_bytes()).is_err() {
            return;
        }
    }
}

/// Method and body of the next request.
fn read_request(from: &mut impl BufRead) -> Option<(String, Vec<u8>)> {
    let mut line = String::new();
    from.read_line(&mut line).ok().filter(|bytes| *bytes > 0)?;
    let method = line.split(' ').next()?.to_owned();
    let mut body_bytes = 0;
    loop {
        let mut header = String::new();
        from.read_line(&mut header).ok().filter(|bytes| *bytes > 0)?;
        let Some((name, value)) = header.split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            body_bytes = value.trim().parse().ok().filter(|bytes| *bytes <= BODY_BYTES_MAX)?;
        }
    }
    let mut body = vec![0; body_bytes];
    from.read_exact(&mut body).ok()?;
    Some((method, body))
}

/// The whole HTTP answer to a POST; `None` to break the connection.
fn answer_post(body: &[u8], script: &Mutex<Script>) -> Option<String> {
    let Ok(request) = serde_json::from_slice::<Value>(body) else { return http(400, &[], "") };
    let id = request["id"].clone();
    if id.is_null() {
        return http(202, &[], "");
    }
    let result = match request["method"].as_str().unwrap_or_default() {
        "initialize" => json!({
            "protocolVersion": request["params"]["protocolVersion"],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "fake-session-buddy", "version": "0"},
        }),
        "ping" => json!({}),
        "tools/list" => {
            let tools = script.lock().unwrap().tools.clone();
            let described = |name| json!({"name": name, "inputSchema": {"type": "object"}});
            json!({"tools": tools.into_iter().map(described).collect::<Vec<_>>()})
        }
        "tools/call" => return answer_call(&id, &request["params"], script),
        _ => {
            let error = json!({"code": -32601, "message": "Method not found"});
            return http(200, &[], &json!({"jsonrpc": "2.0", "id": id, "error": error}).to_string());
        }
    };
    rpc(&id, &result)
}

fn answer_call(id: &Value, params: &Value, script: &Mutex<Script>) -> Option<String> {
    let tool = params["name"].as_str().unwrap_or_default().to_owned();
    let (answer, number) = {
        let mut script = script.lock().unwrap();
        let answer = script.answer_to(&tool, &params["arguments"]);
        let (tool, arguments) = (tool.clone(), params["arguments"].clone());
        script.calls.push(Call { tool, arguments, answer: answer.clone() });
        script.sessions += 1;
        (answer, script.sessions)
    };
    match answer {
        Answer::Good => rpc(id, &structured(&good(&tool, &params["arguments"], number))),
        Answer::Content(content) => rpc(id, &structured(&content)),
        Answer::StatusError(message) => {
            rpc(id, &structured(&json!({"session_id": null, "status": "error", "error": message})))
        }
        Answer::ToolError(text) => {
            rpc(id, &json!({"content": [{"type": "text", "text": text}], "isError": true}))
        }
        Answer::Http(status, headers) => http(status, headers, ""),
        Answer::Garbled => http(200, &[], "<html>this is a proxy's login page</html>"),
        Answer::RpcError(code) => {
            let error = json!({"code": code, "message": "it cannot be done"});
            http(200, &[], &json!({"jsonrpc": "2.0", "id": id, "error": error}).to_string())
        }
        Answer::HeardThenCut => None,
    }
}

fn good(tool: &str, arguments: &Value, number: u64) -> Value {
    match tool {
        "track_session_start" => {
            let component = arguments["component_name"].as_str().unwrap_or("component");
            let id = format!("{component}-20260101-000000-{number:08x}");
            json!({"session_id": id, "status": "tracked", "error": null})
        }
        "track_session_end" => {
            json!({"session_id": arguments["session_id"], "status": "ended", "error": null})
        }
        _ => json!({"status": "ok"}),
    }
}

fn structured(content: &Value) -> Value {
    let text = json!({"type": "text", "text": content.to_string()});
    json!({"content": [text], "structuredContent": content, "isError": false})
}

fn rpc(id: &Value, result: &Value) -> Option<String> {
    http(200, &[], &json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string())
}

fn http(status: u16, headers: &[(&str, &str)], body: &str) -> Option<String> {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let bytes = body.len();
    Some(format!(
        "HTTP/1.1 {status} -\r\nContent-Type: application/json\r\nContent-Length: {bytes}\r\n{headers}\r\n{body}"
    ))
}

//! MCP over a byte stream: one message per line, in both directions.
//!
//! rmcp's own transport says nothing about lines that are no message; here they are answered as JSON-RPC
//! wants it. A line without an end costs no more memory than the longest message.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use rmcp::RoleServer;
use rmcp::model::ClientJsonRpcMessage;
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use serde::Serialize;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Mutex, Semaphore};
use tokio_util::bytes::{Buf, BytesMut};
use tokio_util::codec::{Decoder, FramedRead};
use tokio_util::sync::CancellationToken;

use crate::MESSAGE_BYTES_MAX;
use crate::message::{self, Unfit};

/// Answers to junk that wait to be written: who sends junk and reads nothing gets no more of them.
const UNFIT_ANSWERS_MAX: u32 = 64;

/// How long they may take to be written when nothing else comes: as long as rmcp waits for its own.
const GRACE_MS: u64 = 5_000;

/// The transport.
pub(crate) struct Lines<R, W> {
    read: FramedRead<R, LineDecoder>,
    write: Arc<Mutex<Option<W>>>,
    unfit_answers: Arc<Semaphore>,
    /// Nothing is read after this.
    stop: CancellationToken,
}

impl<R: AsyncRead, W> Lines<R, W> {
    pub(crate) fn new(read: R, write: W, stop: CancellationToken) -> Self {
        Self {
            read: FramedRead::new(read, LineDecoder::default()),
            write: Arc::new(Mutex::new(Some(write))),
            unfit_answers: Arc::new(Semaphore::new(UNFIT_ANSWERS_MAX as usize)),
            stop,
        }
    }
}

impl<R, W> Lines<R, W>
where
    W: AsyncWrite + Send + Unpin + 'static,
{
    /// Answers from a task of its own: a wait for a message may be given up at any moment.
    fn refuse(&self, unfit: &Unfit) {
        if let Ok(permit) = Arc::clone(&self.unfit_answers).try_acquire_owned() {
            let (write, answer) = (Arc::clone(&self.write), unfit.answer());
            tokio::spawn(async move {
                if let Err(error) = write_line(&write, &answer).await {
                    tracing::debug!(%error, "a peer is gone");
                }
                drop(permit);
            });
        }
    }
}

async fn write_line<W: AsyncWrite + Unpin>(
    write: &Mutex<Option<W>>,
    message: &impl Serialize,
) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    let mut write = write.lock().await;
    let write = write.as_mut().ok_or(io::ErrorKind::NotConnected)?;
    write.write_all(&line).await?;
    write.flush().await
}

impl<R, W> Transport<RoleServer> for Lines<R, W>
where
    R: AsyncRead + Send + Unpin,
    W: AsyncWrite + Send + Unpin + 'static,
{
    type Error = io::Error;

    fn send(
        &mut self,
        message: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = io::Result<()>> + Send + 'static {
        let write = Arc::clone(&self.write);
        async move { write_line(&write, &message).await }
    }

    /// At the end, rmcp finishes what was asked before; what it has not seen is finished here.
    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        let message = self.next_message().await;
        if message.is_none() {
            let answered = self.unfit_answers.acquire_many(UNFIT_ANSWERS_MAX);
            let _too_late = tokio::time::timeout(Duration::from_millis(GRACE_MS), answered).await;
        }
        message
    }

    async fn close(&mut self) -> io::Result<()> {
        drop(self.write.lock().await.take());
        Ok(())
    }
}

impl<R, W> Lines<R, W>
where
    R: AsyncRead + Send + Unpin,
    W: AsyncWrite + Send + Unpin + 'static,
{
    async fn next_message(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        loop {
            let line = tokio::select! {
                line = self.read.next() => line?,
                () = self.stop.cancelled() => return None,
            };
            let unfit = match line {
                Ok(Line::Whole(line)) if line.trim_ascii().is_empty() => continue,
                Ok(Line::Whole(line)) => match parse(&line) {
                    Ok(message) => return Some(message),
                    Err(unfit) => unfit,
                },
                Ok(Line::TooLong) => Unfit::too_large(),
                Err(error) => {
                    tracing::debug!(%error, "a connection broke off");
                    return None;
                }
            };
            self.refuse(&unfit);
        }
    }
}

fn parse(line: &[u8]) -> Result<ClientJsonRpcMessage, Unfit> {
    let message = message::read(line)?;
    let shape = Unfit::shape(&message);
    serde_json::from_value(Value::Object(message)).map_err(|_| shape)
}

/// One line of input.
enum Line {
    /// Without its end.
    Whole(BytesMut),
    /// It was left out.
    TooLong,
}

/// Splits at line feeds; forgets the rest of a line that is too long.
#[derive(Default)]
struct LineDecoder {
    searched: usize,
    is_discarding: bool,
}

impl Decoder for LineDecoder {
    type Item = Line;
    type Error = io::Error;

    fn decode(&mut self, buffer: &mut BytesMut) -> io::Result<Option<Line>> {
        let end =
            buffer.iter().skip(self.searched).position(|byte| *byte == b'\n').map(|at| at + self.searched);
        match end {
            Some(end) => {
                self.searched = 0;
                let line = buffer.split_to(end);
                buffer.advance(1);
                let is_rest = std::mem::take(&mut self.is_discarding);
                Ok(Some(if is_rest || line.len() > MESSAGE_BYTES_MAX {
                    Line::TooLong
                } else {
                    Line::Whole(line)
                }))
            }
            None if self.is_discarding || buffer.len() > MESSAGE_BYTES_MAX => {
                self.is_discarding = true;
                self.searched = 0;
                buffer.clear();
                Ok(None)
            }
            None => {
                self.searched = buffer.len();
                Ok(None)
            }
        }
    }

    /// The last line may lack its line feed.
    fn decode_eof(&mut self, buffer: &mut BytesMut) -> io::Result<Option<Line>> {
        let line = self.decode(buffer)?;
        if std::mem::take(&mut self.is_discarding) {
            return Ok(Some(Line::TooLong));
        }
        let has_rest = line.is_none() && !buffer.is_empty();
        Ok(if has_rest { Some(Line::Whole(buffer.split())) } else { line })
    }
}

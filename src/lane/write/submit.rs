//! A write on its way to the actor, and its answer.

use actix::Message;
use tokio::sync::oneshot;

use super::cancellation::Cancellation;
use super::command::{Write, WriteReply};
use super::reply_dispatch::ReplyDispatch;
use crate::domain::{Identity, Seq};
use crate::error::Error;
use crate::lane::permits::WritePermit;
use crate::lane::view::Room;

/// A write on its way to the actor.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Submit {
    pub(crate) who: Identity,
    pub(crate) write: Write,
    pub(crate) cancellation: Cancellation,
    pub(crate) reply: oneshot::Sender<Result<WriteReply, Error>>,
    /// The caller's thread.
    pub(crate) dispatch: ReplyDispatch,
    /// The user's seq when the store did not know the write's key; `None` if the store has to be asked again.
    pub(crate) looked_up: Option<Seq>,
    /// Whether it was planned before: then its caller cannot cancel it any more.
    pub(crate) planned: bool,
    /// Room for what a large write will bring.
    #[expect(dead_code, reason = "it is only held")]
    pub(crate) room: Option<Room>,
    /// Keeps the lane in memory, and counts against the limits on waiting writes.
    pub(crate) permit: WritePermit,
}

impl Submit {
    pub(crate) fn answer(self, answer: Result<WriteReply, Error>) {
        // The permit goes first: a caller that has its reply must find the slot free.
        drop(self.permit);
        let reply = self.reply;
        // A caller that has given up needs no reply; the write stands.
        self.dispatch.run(move || drop(reply.send(answer)));
    }
}

/// Answers all of them with an error.
pub(crate) fn fail<S: IntoIterator<Item = Submit>>(submits: S, error: impl Fn() -> Error) {
    for submit in submits {
        submit.answer(Err(error()));
    }
}

//! What can be done to the service.

/// What is done to the service while clients work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// kill -9 of the server; it is started again on its port.
    KillServer,
    /// SIGTERM; it must end with 0, and is started again.
    StopServer,
    /// SIGTERM, and again at once: it ends whatever is under way.
    StopServerAtOnce,
    /// The server stands still for some seconds.
    PauseServer,
    /// The same for longer than anything waits for an answer; those beside it go on.
    PauseServerForLong,
    /// The same for a minute.
    PauseServerForAMinute,
    /// kill -9 of all of PostgreSQL.
    KillPostgres,
    /// A fast stop of PostgreSQL, and a start.
    RestartPostgres,
    /// kill -9 of it and of every server.
    KillBoth,
    /// PostgreSQL's processes for all servers stand still for some seconds.
    PauseBackends,
    /// The same for longer than the server waits for any answer.
    PauseBackendsForLong,
    /// kill -9 of the server while PostgreSQL holds its last commit back, which is carried out when the next
    /// server has long written for the same users.
    LateCommit,
    /// All connections to PostgreSQL are ended from its side, again and again.
    TerminateBackends,
    /// The connections by which servers hear of each other's writes are ended, again and again.
    EndListeners,
    /// PostgreSQL's processes for them stand still for some seconds.
    PauseListeners,
    /// All connections that PostgreSQL allows are in use by others.
    UseUpConnections,
    /// Somebody else holds the lock on a user's row.
    LockUser,
    /// New connections to PostgreSQL are refused; then those there are reset.
    Refuse,
    /// Every connection to PostgreSQL is reset.
    Reset,
    /// Nothing gets through to or from PostgreSQL, and nobody says so.
    BlackHole,
    /// The same for longer than a client is let wait.
    BlackHoleForLong,
    /// Everything takes longer.
    Slow,
    /// Connections are cut in the middle of a message.
    CutMidway,
    /// What is sent arrives and is carried out, but the answer is lost with the connection.
    CutAnswer,
    /// The same, and the connection stays: the answer just does not come.
    Deaf,
    /// Another program holds the lock of SQLite's file.
    LockFile,
    /// No file of the server may grow.
    LimitFiles,
    /// The disk that the store is on is full.
    FillDisk,
    /// The same, and PostgreSQL's log has to grow: it goes down, and cannot start.
    FillLog,
}

/// All that SQLite can suffer.
pub const OF_SQLITE: [Fault; 7] = [
    Fault::KillServer,
    Fault::StopServer,
    Fault::StopServerAtOnce,
    Fault::PauseServer,
    Fault::LockFile,
    Fault::LimitFiles,
    Fault::FillDisk,
];

/// All that PostgreSQL can suffer.
pub const OF_POSTGRES: [Fault; 23] = [
    Fault::KillServer,
    Fault::StopServer,
    Fault::StopServerAtOnce,
    Fault::PauseServer,
    Fault::KillPostgres,
    Fault::RestartPostgres,
    Fault::KillBoth,
    Fault::PauseBackends,
    Fault::PauseBackendsForLong,
    Fault::LateCommit,
    Fault::TerminateBackends,
    Fault::UseUpConnections,
    Fault::LockUser,
    Fault::Refuse,
    Fault::Reset,
    Fault::BlackHole,
    Fault::BlackHoleForLong,
    Fault::Slow,
    Fault::CutMidway,
    Fault::CutAnswer,
    Fault::Deaf,
    Fault::FillDisk,
    Fault::FillLog,
];

/// All that several servers on one PostgreSQL can suffer: one of them, the way of one of them to PostgreSQL, or
/// PostgreSQL.
pub const OF_SEVERAL: [Fault; 22] = [
    Fault::KillServer,
    Fault::StopServer,
    Fault::StopServerAtOnce,
    Fault::PauseServer,
    Fault::PauseServerForLong,
    Fault::KillPostgres,
    Fault::RestartPostgres,
    Fault::KillBoth,
    Fault::PauseBackends,
    Fault::LateCommit,
    Fault::TerminateBackends,
    Fault::EndListeners,
    Fault::PauseListeners,
    Fault::UseUpConnections,
    Fault::LockUser,
    Fault::Refuse,
    Fault::Reset,
    Fault::BlackHoleForLong,
    Fault::Slow,
    Fault::CutMidway,
    Fault::CutAnswer,
    Fault::Deaf,
];

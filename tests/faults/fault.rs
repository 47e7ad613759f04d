//! The faults.

/// What happens to the service under load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// kill -9 of the server; it is restarted on its port.
    KillServer,
    /// SIGTERM; it must exit with 0, and is restarted.
    StopServer,
    /// SIGTERM twice: it ends at once, whatever is under way.
    StopServerAtOnce,
    /// The server is paused for some seconds.
    PauseServer,
    /// The same, for longer than anything waits for an answer; other servers continue.
    PauseServerForLong,
    /// The same, for a minute.
    PauseServerForAMinute,
    /// kill -9 of all of PostgreSQL.
    KillPostgres,
    /// A fast stop of PostgreSQL, and a start.
    RestartPostgres,
    /// kill -9 of it and of every server.
    KillBoth,
    /// PostgreSQL's processes for all servers are paused for some seconds.
    PauseBackends,
    /// The same, for longer than the server waits for any answer.
    PauseBackendsForLong,
    /// kill -9 of the server while PostgreSQL holds its last commit back; that is carried out long after the
    /// next server has written for the same users.
    LateCommit,
    /// All connections to PostgreSQL are ended from its side, again and again.
    TerminateBackends,
    /// The connections on which servers hear of each other's writes are ended, again and again.
    EndListeners,
    /// PostgreSQL's processes for these are paused for some seconds.
    PauseListeners,
    /// All connections that PostgreSQL allows are in use by others.
    UseUpConnections,
    /// Another session holds the lock on a user's row.
    LockUser,
    /// New connections to PostgreSQL are refused; then existing ones are reset.
    Refuse,
    /// Every connection to PostgreSQL is reset.
    Reset,
    /// Nothing gets through to or from PostgreSQL, silently.
    BlackHole,
    /// The same, for longer than a client may wait.
    BlackHoleForLong,
    /// Everything is slow.
    Slow,
    /// Connections are cut in the middle of a message.
    CutMidway,
    /// Statements arrive and are carried out, but their answers are lost with the connection.
    CutAnswer,
    /// The same, but the connection stays open: the answer never comes.
    Deaf,
    /// Another program holds the lock of SQLite's file.
    LockFile,
    /// No file of the server may grow.
    LimitFiles,
    /// The disk that the store is on is full.
    FillDisk,
    /// The same, and PostgreSQL's log has to grow: it stops and cannot start.
    FillLog,
}

/// All faults on SQLite.
pub const OF_SQLITE: [Fault; 7] = [
    Fault::KillServer,
    Fault::StopServer,
    Fault::StopServerAtOnce,
    Fault::PauseServer,
    Fault::LockFile,
    Fault::LimitFiles,
    Fault::FillDisk,
];

/// All faults on PostgreSQL.
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

/// All faults of several servers on one PostgreSQL: of one server, of its network to PostgreSQL, or of
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

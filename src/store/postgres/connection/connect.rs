//! The connection string, and the one way to open a connection.

use std::borrow::Cow;
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{ClientWrapper, Connect};
use percent_encoding::percent_decode_str;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::config::{Host, TargetSessionAttrs};
use tokio_postgres::tls::TlsStream;
use tokio_postgres::{AsyncMessage, Client, Config, Connection, Error, Socket};

use super::error::{PostgresError, describe};
use super::failover::FailoverDetector;
use super::tls::{Tls, tls};
use crate::store::postgres::options::PostgresOptions;

/// How long sent bytes may stay unacknowledged by the server's machine, however long the caller waits.
const UNACKNOWLEDGED: Duration = Duration::from_mins(1);

/// Notifications that may wait to be read.
const NOTIFICATIONS: usize = 256;

/// A new connection, with the task that moves its bytes.
type DialResult = Result<(Client, JoinHandle<()>), Error>;

/// Opens connections, each set up the same way.
#[derive(Clone)]
pub(crate) struct Connector {
    pub(crate) config: Config,
    /// If there are several servers, each alone, whether or not it takes writes.
    pub(crate) single_hosts: Vec<Config>,
    tls: Tls,
    /// Whether connections must lead to the server that takes writes: true unless the URL says otherwise.
    wants_primary: bool,
    setup: String,
    /// How long opening a connection may take.
    pub(crate) create_timeout: Duration,
    pub(crate) failover: Arc<FailoverDetector>,
}

impl Connector {
    /// Parses the connection string.
    ///
    /// # Errors
    /// One line, without any part of the string that could be a password.
    pub(crate) fn new(options: &PostgresOptions) -> Result<Self, String> {
        let url = Url::split(&options.url)?;
        let tls = tls(url.sslmode.as_deref(), url.sslrootcert.as_deref())?;
        let mut config = configure(&url.rest, options, &tls)?;
        // Of several hosts, or behind a name that moves, only the server that takes writes is wanted.
        if !url.names_target {
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        let single = |url: &String| {
            Ok(configure(url, options, &tls)?.target_session_attrs(TargetSessionAttrs::Any).clone())
        };
        let single_hosts = url.single_hosts.iter().map(single).collect::<Result<_, String>>()?;
        let wants_primary = config.get_target_session_attrs() == TargetSessionAttrs::ReadWrite;
        let hosts = config.get_hosts().len().max(config.get_hostaddrs().len());
        let hosts = u32::try_from(hosts).unwrap_or(u32::MAX);
        Ok(Self {
            config,
            single_hosts,
            tls,
            wants_primary,
            setup: setup(options),
            failover: Arc::default(),
            // Time for every host to be tried, and then for the handshake.
            create_timeout: options.connect_timeout.saturating_mul(hosts.saturating_add(1)),
        })
    }

    /// The server's addresses, for messages.
    pub(crate) fn hosts(&self) -> String {
        let ports = self.config.get_ports();
        let port = |index: usize| ports.get(index).or(ports.first()).copied().unwrap_or(5432);
        let host = |(index, host): (usize, &Host)| match host {
            Host::Tcp(name) => format!("{name}:{}", port(index)),
            Host::Unix(path) => format!("{}:{}", path.display(), port(index)),
        };
        let hosts: Vec<String> = self.config.get_hosts().iter().enumerate().map(host).collect();
        hosts.join(",")
    }

    /// Whether a server is on another machine, and nothing proves that it is the right one.
    pub(crate) fn is_open_to_a_middleman(&self) -> bool {
        let is_here = |host: &Host| match host {
            Host::Tcp(name) => name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()),
            Host::Unix(_) => true,
        };
        let addresses = self.config.get_hostaddrs();
        let all_here = if addresses.is_empty() {
            self.config.get_hosts().iter().all(is_here)
        } else {
            addresses.iter().all(IpAddr::is_loopback)
        };
        self.tls.is_unverified && !all_here
    }

    /// Opens a connection outside the pool. Its task is spawned on the current runtime, and ends with it.
    pub(crate) async fn open(&self) -> Result<ClientWrapper, PostgresError> {
        self.in_time(self.dial(None)).await
    }

    /// Opens a connection to one of several servers, whether or not it takes writes.
    pub(crate) async fn open_at(&self, host: usize) -> Result<ClientWrapper, PostgresError> {
        self.in_time(self.dial_at(&self.single_hosts[host], None)).await
    }

    async fn in_time(&self, dial: impl Future<Output = DialResult>) -> Result<ClientWrapper, PostgresError> {
        match timeout(self.create_timeout, dial).await {
            Ok(Ok((client, task))) => Ok(ClientWrapper::new(client, task)),
            Ok(Err(error)) => Err(PostgresError::of_connecting(&error)),
            Err(_) => Err(PostgresError::no_connection(self.create_timeout)),
        }
    }

    /// Opens a connection that receives a channel's notifications until it ends.
    pub(crate) async fn listen(
        &self,
        channel: &str,
    ) -> Result<(ClientWrapper, mpsc::Receiver<String>), PostgresError> {
        let (sender, payloads) = mpsc::channel(NOTIFICATIONS);
        let client = self.in_time(self.dial(Some(sender))).await?;
        client.batch_execute(&format!("LISTEN {channel}")).await?;
        Ok((client, payloads))
    }

    async fn dial(&self, payloads: Option<mpsc::Sender<String>>) -> DialResult {
        let known = self.failover.primary().filter(|_| self.wants_primary);
        let first = match known {
            Some(host) => self.dial_at(&self.single_hosts[host], payloads.clone()).await.ok(),
            None => None,
        };
        let (client, task) = match first {
            Some(opened) => opened,
            // The known primary may be gone: any server that takes writes.
            None => self.dial_at(&self.config, payloads).await?,
        };
        client.batch_execute(&self.setup).await?;
        self.failover.identify(&client).await?;
        // Ends the statements of a client that is gone. Servers before 14 and some systems do not support
        // it.
        match client.batch_execute("SET client_connection_check_interval = '5s'").await {
            Err(error) if client.is_closed() => Err(error),
            _ => Ok((client, task)),
        }
    }

    async fn dial_at(&self, config: &Config, payloads: Option<mpsc::Sender<String>>) -> DialResult {
        let (client, connection) = config.connect(self.tls.connector.clone()).await?;
        Ok((client, tokio::spawn(drive(connection, payloads))))
    }
}

impl Connect for Connector {
    fn connect(&self, _: &Config) -> Pin<Box<dyn Future<Output = DialResult> + Send + '_>> {
        Box::pin(self.dial(None))
    }
}

/// Moves the bytes of a connection until it ends, and passes on the payloads of notifications.
async fn drive<S: TlsStream + Unpin>(
    mut connection: Connection<Socket, S>,
    payloads: Option<mpsc::Sender<String>>,
) {
    while let Some(message) = poll_fn(|cx| connection.poll_message(cx)).await {
        match message {
            // A receiver that does not keep up misses some.
            Ok(AsyncMessage::Notification(notification)) => {
                let _ =
                    payloads.as_ref().map(|payloads| payloads.try_send(notification.payload().to_owned()));
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(error = describe(&error), "a connection to PostgreSQL broke");
                return;
            }
        }
    }
}

/// Parses a connection string for tokio-postgres, and adds our defaults to what it does not set.
fn configure(url: &str, options: &PostgresOptions, tls: &Tls) -> Result<Config, String> {
    let mut config: Config =
        url.parse().map_err(|error| format!("the connection string cannot be read: {}", describe(&error)))?;
    let is_nameless = |host: &Host| matches!(host, Host::Tcp(name) if name.is_empty());
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty()
        || config.get_hosts().iter().any(is_nameless)
    {
        return Err("the connection string names no host".to_owned());
    }
    if config.get_ports().contains(&0) {
        return Err("the connection string's port must be from 1 to 65535".to_owned());
    }
    config.ssl_mode(tls.mode);
    if config.get_application_name().is_none() {
        config.application_name("tasklane");
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(options.connect_timeout);
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(options.answer_timeout.min(UNACKNOWLEDGED));
    }
    if config.get_keepalives_interval().is_none() {
        config.keepalives_idle(Duration::from_secs(30));
        config.keepalives_interval(Duration::from_secs(5));
        config.keepalives_retries(3);
    }
    Ok(config)
}

/// The settings of a connection, as statements: a pooler may refuse them as start-up options.
///
/// Every statement of ours uses an index. A plan made while the tables are small would scan them, and stay
/// in use when they have grown; hence no sequential scans, one generic plan, and no JIT compilation.
fn setup(options: &PostgresOptions) -> String {
    format!(
        "SET statement_timeout = {}; SET lock_timeout = {};
         SET default_transaction_isolation = 'read committed';
         SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan; SET jit = off;
         SELECT set_config('synchronous_commit', 'on', false)
            WHERE current_setting('synchronous_commit') = 'off'",
        options.statement_timeout.as_millis(),
        options.lock_timeout.as_millis()
    )
}

/// A connection string, without the parameters that tokio-postgres does not treat as libpq does.
#[derive(Debug, Default)]
struct Url {
    rest: String,
    /// If the address names several hosts: the same string for each host alone.
    single_hosts: Vec<String>,
    sslmode: Option<String>,
    sslrootcert: Option<String>,
    names_target: bool,
}

impl Url {
    fn split(url: &str) -> Result<Self, String> {
        let after_scheme = url
            .strip_prefix("postgres://")
            .or_else(|| url.strip_prefix("postgresql://"))
            .ok_or("the connection string must begin with postgres:// or postgresql://")?;
        let (credentials, address) = after_scheme.split_once('@').unwrap_or(("", after_scheme));
        let (address, query) = address.split_once('?').unwrap_or((address, ""));
        if address.contains('@') {
            return Err("the connection string holds a second @: write one in a password as %40".to_owned());
        }
        let mut found = Self::default();
        let mut rest = Vec::new();
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let value = || percent_decode_str(value).decode_utf8().map(Cow::into_owned);
            let value = || value().map_err(|_| format!("the value of {name} is not UTF-8"));
            match name {
                "sslmode" => found.sslmode = Some(value()?),
                "sslrootcert" => found.sslrootcert = Some(value()?),
                _ => {
                    found.names_target |= name == "target_session_attrs";
                    rest.push(parameter);
                }
            }
        }
        let at = if after_scheme.contains('@') { "@" } else { "" };
        let rest = rest.join("&");
        found.rest = format!("postgres://{credentials}{at}{address}?{rest}");
        let (hosts, path) = address.split_at(address.find('/').unwrap_or(address.len()));
        if hosts.contains(',') {
            let single = |host| format!("postgres://{credentials}{at}{host}{path}?{rest}");
            found.single_hosts = hosts.split(',').map(single).collect();
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connector(url: &str) -> Result<Connector, String> {
        Connector::new(&PostgresOptions::new(url.to_owned(), 2))
    }

    #[test]
    fn the_parameters_of_libpq_are_taken_out_of_the_url_and_the_others_stay() {
        let url = Url::split(
            "postgresql://me:a?b%40@db1:1,db2:2/x?sslmode=verify-full&options=-c%20a%3Db&sslrootcert=%2Fca.pem",
        )
        .unwrap();
        assert_eq!(url.rest, "postgres://me:a?b%40@db1:1,db2:2/x?options=-c%20a%3Db");
        assert_eq!(url.sslmode.as_deref(), Some("verify-full"));
        assert_eq!(url.sslrootcert.as_deref(), Some("/ca.pem"));
    }

    #[test]
    fn several_hosts_are_kept_in_order_and_must_take_writes_unless_the_url_says_otherwise() {
        let both = connector("postgres://me@db1:1,db2:2/x?sslmode=disable").unwrap();
        assert_eq!(both.hosts(), "db1:1,db2:2");
        assert_eq!(both.config.get_target_session_attrs(), TargetSessionAttrs::ReadWrite);
        let each: Vec<_> =
            both.single_hosts.iter().map(|one| (one.get_hosts()[0].clone(), one.get_ports()[0])).collect();
        assert_eq!(each, [(Host::Tcp("db1".to_owned()), 1), (Host::Tcp("db2".to_owned()), 2)]);
        assert!(connector("postgres://me@db/x").unwrap().single_hosts.is_empty());
        let any = connector("postgres://me@db/x?target_session_attrs=any").unwrap();
        assert_eq!(any.config.get_target_session_attrs(), TargetSessionAttrs::Any);
    }

    #[test]
    fn a_server_on_another_machine_must_prove_who_it_is() {
        let open = |url| connector(url).unwrap().is_open_to_a_middleman();
        for url in [
            "postgres://me@db/x",
            "postgres://me@db/x?sslmode=require",
            "postgres://me@localhost,192.0.2.1/x?sslmode=prefer",
            "postgres://me@localhost/x?hostaddr=192.0.2.1",
        ] {
            assert!(open(url), "{url}");
        }
        for url in [
            "postgres://me@db/x?sslmode=verify-full",
            "postgres://me@db/x?sslmode=disable",
            "postgres://me@localhost/x",
            "postgres://me@127.0.0.1,[::1]/x",
            "postgres://me@%2Frun%2Fpostgresql/x",
        ] {
            assert!(!open(url), "{url}");
        }
    }

    #[test]
    fn an_operators_statements_are_never_cut_short() {
        let usual = PostgresOptions::new("postgres://me@db/x".to_owned(), 2);
        assert!(setup(&usual).contains("statement_timeout = 10000;"));
        assert!(setup(&usual.patient()).contains("statement_timeout = 0;"));
    }

    #[test]
    fn a_connection_string_that_can_never_work_is_refused_before_the_server_is_asked() {
        let never = [
            "postgres://",
            "postgres:///x",
            "postgres://me@:5432/x",
            "postgres://me@db:0/x",
            "postgres://me@db:65536/x",
            "postgres://me@db:-1/x",
            "postgres://me@db/x?schema=public",
            "postgres://me@db/x?sslmode=",
            "postgres://me@db/x?sslmode=REQUIRE",
            "postgres://me@db/x?connect_timeout=1s",
            "postgres://me@db/x?port=0",
            "postgres://me@[::1/x",
            "postgres://me@db/x?sslrootcert=%ff",
            "postgres://me:a@b@db/x",
        ];
        let taken: Vec<_> = never.into_iter().filter(|url| connector(url).is_ok()).collect();
        assert_eq!(taken, [""; 0]);
        for url in ["postgres://me@[::1]:5432/x", "postgres://me@db", "postgres://DB/x?options=-c%20a%3Db"] {
            assert!(connector(url).is_ok(), "{url}: {:?}", connector(url).err());
        }
    }

    #[test]
    fn no_error_repeats_any_part_of_a_password() {
        let urls = [
            "postgres://me:sesame@sesame@db/x",
            "postgres://me:sesame@db:sesame/x",
            "postgres://me:sesame@db/x?sslmode=sesame",
            "postgres://me:sesame@db/x?port=sesame",
            "postgres://me:sesame@/x",
            "mysql://me:sesame@db/x",
            "postgres://me:sesame@db/x?connect_timeout=sesame",
        ];
        for url in urls {
            let error = connector(url).err().unwrap_or_else(|| panic!("{url} was taken"));
            assert!(!error.contains("sesame"), "{error}");
        }
    }
}

//! The connection string, and the one way a connection comes about.

use std::borrow::Cow;
use std::future::{Future, poll_fn};
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
use tokio_postgres::{AsyncMessage, Client, Config, Connection, Error, NoTls, Socket};

use super::error::{PostgresError, describe};
use super::failover::FailoverDetector;
use super::tls::{Tls, tls};
use crate::store::postgres::options::PostgresOptions;

/// How long what was sent may stay unacknowledged by the server's machine, however patient the caller.
const UNACKNOWLEDGED: Duration = Duration::from_mins(1);

/// Notifications that may wait to be taken.
const TOLD: usize = 256;

/// Makes connections, each set up the same way.
#[derive(Clone)]
pub(crate) struct Connector {
    config: Config,
    /// Each of several servers alone, whatever it is.
    each: Vec<Config>,
    tls: Tls,
    /// Whether a connection is to lead to the server that takes writes, which is so unless the URL says otherwise.
    wants_primary: bool,
    setup: String,
    create_timeout: Duration,
    failover: Arc<FailoverDetector>,
}

impl Connector {
    /// Reads the connection string.
    ///
    /// # Errors
    /// One line without any part of the string that could be a password.
    pub(crate) fn new(options: &PostgresOptions) -> Result<Self, String> {
        let url = Url::split(&options.url)?;
        let tls = tls(url.sslmode.as_deref(), url.sslrootcert.as_deref())?;
        let mut config = configure(&url.rest, options, &tls)?;
        // Of several hosts, or behind one name that moves, only the one that takes writes will do.
        if !url.names_target {
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        let each = url.each.iter().map(|one| configure(one, options, &tls));
        let each = each.map(|config| {
            config.map(|mut config| config.target_session_attrs(TargetSessionAttrs::Any).clone())
        });
        let each = each.collect::<Result<Vec<_>, _>>()?;
        let wants_primary = config.get_target_session_attrs() == TargetSessionAttrs::ReadWrite;
        let hosts = config.get_hosts().len().max(config.get_hostaddrs().len());
        let hosts = u32::try_from(hosts).unwrap_or(u32::MAX);
        Ok(Self {
            config,
            each,
            tls,
            wants_primary,
            setup: setup(options),
            failover: Arc::default(),
            // Every host gets its turn, then there is time to shake hands.
            create_timeout: options.connect_timeout.saturating_mul(hosts.saturating_add(1)),
        })
    }

    /// What tokio-postgres is told.
    pub(crate) const fn config(&self) -> &Config {
        &self.config
    }

    /// Each of several servers; none where there is one.
    pub(crate) fn each(&self) -> &[Config] {
        &self.each
    }

    /// What is known of the server that connections lead to.
    pub(crate) const fn failover(&self) -> &Arc<FailoverDetector> {
        &self.failover
    }

    /// How long a connection may take to come about.
    pub(crate) const fn create_timeout(&self) -> Duration {
        self.create_timeout
    }

    /// The server's addresses, for messages.
    pub(crate) fn hosts(&self) -> String {
        let ports = self.config.get_ports();
        let port = |at: usize| ports.get(at).or(ports.first()).copied().unwrap_or(5432);
        let host = |(at, host): (usize, &Host)| match host {
            Host::Tcp(name) => format!("{name}:{}", port(at)),
            Host::Unix(path) => format!("{}:{}", path.display(), port(at)),
        };
        let hosts: Vec<String> = self.config.get_hosts().iter().enumerate().map(host).collect();
        hosts.join(",")
    }

    /// Makes a connection outside the pool. Its task is spawned on the present runtime, and ends with it.
    pub(crate) async fn open(&self) -> Result<ClientWrapper, PostgresError> {
        self.open_for(None).await
    }

    /// Makes a connection to one of several servers, whether or not it takes writes.
    pub(crate) async fn open_at(&self, place: usize) -> Result<ClientWrapper, PostgresError> {
        match timeout(self.create_timeout, self.dial_at(&self.each[place], None)).await {
            Ok(Ok((client, task))) => Ok(ClientWrapper::new(client, task)),
            Ok(Err(error)) => Err(PostgresError::of_connecting(&error)),
            Err(_) => Err(PostgresError::no_connection(self.create_timeout)),
        }
    }

    async fn open_for(&self, told: Option<mpsc::Sender<String>>) -> Result<ClientWrapper, PostgresError> {
        match timeout(self.create_timeout, self.dial(told)).await {
            Ok(Ok((client, task))) => Ok(ClientWrapper::new(client, task)),
            Ok(Err(error)) => Err(PostgresError::of_connecting(&error)),
            Err(_) => Err(PostgresError::no_connection(self.create_timeout)),
        }
    }

    /// Makes a connection that passes on what is told by a channel, until it ends.
    pub(crate) async fn listen(
        &self,
        channel: &str,
    ) -> Result<(ClientWrapper, mpsc::Receiver<String>), PostgresError> {
        let (told, payloads) = mpsc::channel(TOLD);
        let link = self.open_for(Some(told)).await?;
        let listening = link.batch_execute(&format!("LISTEN {channel}")).await;
        listening.map_err(|error| PostgresError::of(&error))?;
        Ok((link, payloads))
    }

    async fn dial(&self, told: Option<mpsc::Sender<String>>) -> Result<(Client, JoinHandle<()>), Error> {
        let known = self.failover.primary().filter(|_| self.wants_primary).map(|place| &self.each[place]);
        // It may be gone by now; then any that takes writes.
        let first = match known {
            Some(config) => self.dial_at(config, told.clone()).await.ok(),
            None => None,
        };
        let (client, task) = match first {
            Some(made) => made,
            None => self.dial_at(&self.config, told).await?,
        };
        client.batch_execute(&self.setup).await?;
        self.failover.ask(&client).await?;
        // Ends the work of a client that is gone. Servers before 14 and some systems do not know it.
        match client.batch_execute("SET client_connection_check_interval = '5s'").await {
            Err(error) if client.is_closed() => Err(error),
            _ => Ok((client, task)),
        }
    }

    async fn dial_at(
        &self,
        config: &Config,
        told: Option<mpsc::Sender<String>>,
    ) -> Result<(Client, JoinHandle<()>), Error> {
        Ok(match &self.tls.connector {
            None => {
                let (client, connection) = config.connect(NoTls).await?;
                (client, tokio::spawn(drive(connection, told)))
            }
            Some(tls) => {
                let (client, connection) = config.connect(tls.clone()).await?;
                (client, tokio::spawn(drive(connection, told)))
            }
        })
    }
}

impl Connect for Connector {
    fn connect(
        &self,
        _: &Config,
    ) -> Pin<Box<dyn Future<Output = Result<(Client, JoinHandle<()>), Error>> + Send + '_>> {
        Box::pin(self.dial(None))
    }
}

/// Moves the bytes of a connection until it ends, and passes on what it is told.
async fn drive<S: TlsStream + Unpin>(
    mut connection: Connection<Socket, S>,
    told: Option<mpsc::Sender<String>>,
) {
    while let Some(message) = poll_fn(|cx| connection.poll_message(cx)).await {
        match message {
            // Whoever does not keep up misses some.
            Ok(AsyncMessage::Notification(notification)) => {
                let _ = told.as_ref().map(|told| told.try_send(notification.payload().to_owned()));
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(error = describe(&error), "a connection to PostgreSQL broke");
                return;
            }
        }
    }
}

/// What tokio-postgres is told of a connection string; what that sets itself stays.
fn configure(url: &str, options: &PostgresOptions, tls: &Tls) -> Result<Config, String> {
    let mut config: Config =
        url.parse().map_err(|error| format!("the connection string cannot be read: {}", describe(&error)))?;
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        return Err("the connection string names no host".to_owned());
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

/// The settings of a connection, as statements: a pooler between may refuse them as start-up options.
///
/// Every statement of ours goes by key. A plan made while the tables are small would scan them, and
/// outlive that; hence no sequential scans, one generic plan, and no compiling of it.
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

/// A connection string, and the parameters in it that tokio-postgres does not know as libpq does.
#[derive(Debug, Default)]
struct Url {
    rest: String,
    /// Where the address names several hosts: the same, for each alone.
    each: Vec<String>,
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
            let each =
                hosts.split(',').map(|host| format!("postgres://{credentials}{at}{host}{path}?{rest}"));
            found.each = each.collect();
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
            both.each().iter().map(|one| (one.get_hosts()[0].clone(), one.get_ports()[0])).collect();
        assert_eq!(each, [(Host::Tcp("db1".to_owned()), 1), (Host::Tcp("db2".to_owned()), 2)]);
        assert!(connector("postgres://me@db/x").unwrap().each().is_empty());
        let any = connector("postgres://me@db/x?target_session_attrs=any").unwrap();
        assert_eq!(any.config.get_target_session_attrs(), TargetSessionAttrs::Any);
    }

    #[test]
    fn whoever_keeps_the_store_has_no_statement_cut_short() {
        let usual = PostgresOptions::new("postgres://me@db/x".to_owned(), 2);
        assert!(setup(&usual).contains("statement_timeout = 10000;"));
        assert!(setup(&usual.patient()).contains("statement_timeout = 0;"));
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

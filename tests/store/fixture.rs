//! A database of either engine, and nodes on it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, SqliteConnection};
use tempfile::TempDir;
use waxseal::account::password::PasswordHash;
use waxseal::account::{Accounts, BeginSession, User};
use waxseal::id::{Lineage, UserId};
use waxseal::inventory::{Entered, LoginOrigin};
use waxseal::random::{OsRandom, SeededRandom};
use waxseal::revocation::log::{Cursor, LogReader, Page, StoreError};
use waxseal::revocation::reading::Reading;
use waxseal::session::LoginMethods;
use waxseal::store::mark::{MarkError, MarkFile};
use waxseal::store::sql::SqlStore;
use waxseal::time::{ManualClock, Timestamp};

use super::common::postgres::{Postgres, ROLE};

/// In the past by any server's clock: no horizon goes beyond a server's time.
pub const START: Timestamp = Timestamp::from_secs(1_700_000_000);

/// Runs each scenario of a file on both engines.
macro_rules! on_both_engines {
    ($($scenario:ident)*) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $scenario() {
                super::$scenario(crate::fixture::Fixture::sqlite()).await;
            })*
        }

        mod postgres {
            $(#[tokio::test]
            async fn $scenario() {
                super::$scenario(crate::fixture::Fixture::postgres()).await;
            })*
        }
    };
}

pub const HOUR: Duration = Duration::from_secs(3600);

/// The nodes' clock. No test here depends on its time.
pub fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(START))
}

pub struct Fixture {
    database: Option<Database>,
    folder: TempDir,
    seed: AtomicU64,
}

struct Database {
    server: Arc<Postgres>,
    /// The schema that contains everything of this fixture.
    schema: String,
}

/// Servers that are shared by tests which leave the server itself unchanged: starting one takes longer than most of
/// them.
static SHARED: Mutex<Vec<Weak<Postgres>>> = Mutex::new(Vec::new());
static SCHEMAS: AtomicU64 = AtomicU64::new(1);
/// How many fixtures share a server, limited by its connections.
const SHARERS: usize = 3;

fn shared() -> Arc<Postgres> {
    let mut all = SHARED
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    all.retain(|server| server.strong_count() > 0);
    let mut up = all.iter().filter_map(Weak::upgrade);
    let room = up.find(|server| Arc::strong_count(server) <= SHARERS);
    room.unwrap_or_else(|| {
        let server = Arc::new(Postgres::start());
        all.push(Arc::downgrade(&server));
        server
    })
}

impl Fixture {
    fn on(database: Option<Database>) -> Self {
        let fixture = Self {
            database,
            folder: TempDir::new().unwrap(),
            seed: AtomicU64::new(1),
        };
        if fixture.database.is_none() {
            std::fs::write(fixture.file(), "").unwrap();
        }
        fixture
    }

    pub fn sqlite() -> Self {
        Self::on(None)
    }

    /// A schema on a shared server.
    pub fn postgres() -> Self {
        Self::on_server(shared())
    }

    /// A server of its own, which the test may break.
    pub fn alone() -> Self {
        Self::on_server(Arc::new(Postgres::start()))
    }

    pub fn on_server(server: Arc<Postgres>) -> Self {
        let schema = format!("fixture{}", SCHEMAS.fetch_add(1, Ordering::SeqCst));
        server.sql(&format!("CREATE SCHEMA {schema} AUTHORIZATION {ROLE}"));
        Self::on(Some(Database { server, schema }))
    }

    /// The server, with PostgreSQL.
    pub fn server(&self) -> Option<&Postgres> {
        self.database.as_ref().map(|database| &*database.server)
    }

    /// The database URL for sqlx.
    pub fn url(&self) -> String {
        match &self.database {
            Some(Database { server, schema }) => {
                format!("{}?options[search_path]={schema}", server.url())
            }
            None => format!("sqlite:{}", self.file().display()),
        }
    }

    /// Runs statements on the server, and returns its output.
    pub fn ask(&self, statements: &str) -> String {
        let Some(Database { server, schema }) = &self.database else {
            panic!("it is not a server");
        };
        server.sql(&format!("SET search_path = {schema};\n{statements}"))
    }

    /// SQLite's file.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("waxseal.db")
    }

    /// Runs statements as an operator would, in SQL that both engines understand.
    pub async fn sql(&self, statements: &str) {
        match &self.database {
            Some(_) => drop(self.ask(statements)),
            None => {
                let mut connection = SqliteConnection::connect(&self.url()).await.unwrap();
                let statements = AssertSqlSafe(statements.to_owned());
                let done = sqlx::raw_sql(statements).execute(&mut connection).await;
                done.unwrap();
                connection.close().await.unwrap();
            }
        }
    }

    /// The mark of that node. With SQLite there is one node, and all processes beside it share its mark.
    pub fn mark(&self, node: &str) -> MarkFile {
        let node = self.database.as_ref().map_or("one", |_| node);
        let folder = self.folder.path().join("marks").join(node);
        MarkFile::new(&folder, clock(), Arc::new(OsRandom::new()))
    }

    pub async fn open(&self, mark: Option<MarkFile>) -> Result<SqlStore, StoreError> {
        match &self.database {
            Some(_) => SqlStore::connect(&self.url().parse().unwrap(), mark, None).await,
            None => SqlStore::open(&self.file(), mark).await,
        }
    }

    /// A store that was opened read-only.
    pub async fn look(&self) -> SqlStore {
        self.open(None).await.unwrap()
    }

    /// The store of that node, with the node's mark.
    pub async fn node(&self, name: &str) -> SqlStore {
        let mark = self.mark(name);
        let store = self.open(Some(mark.clone())).await.unwrap();
        if let Err(MarkError::Missing(_)) = mark.read() {
            mark.make(&store.read(0, 0).await.unwrap().head).unwrap();
        }
        store
    }

    /// A random source that differs at each call.
    pub fn random(&self) -> SeededRandom {
        SeededRandom::new(self.seed.fetch_add(1, Ordering::SeqCst))
    }

    pub fn lineage(&self, at: Timestamp) -> Lineage {
        Lineage::new(at, &self.random())
    }

    pub async fn add_user(&self, store: &SqlStore, name: &str) -> UserId {
        let user = self.user(name);
        store.add_user(&user, &hash("old")).await.unwrap();
        user.id
    }

    pub fn user(&self, name: &str) -> User {
        let id = UserId::new(START, &self.random());
        User::new(id, name.parse().unwrap(), START)
    }

    /// A session of two hours, as a login enters it.
    pub fn session(&self, at: Timestamp) -> Entered {
        Entered {
            lineage: self.lineage(at),
            auth_time: at,
            session_expiry: at.plus(2 * HOUR),
            renew_at: at.plus(HOUR / 2),
            idle_end: at.plus(HOUR),
            methods: LoginMethods::of(["pwd", "otp"]).unwrap(),
            origin: LoginOrigin::new(Some("192.0.2.1".parse().unwrap()), Some("a browser")),
        }
    }

    /// Begins a session right after reading the user.
    pub async fn begin(&self, store: &SqlStore, name: &str, at: Timestamp) -> Option<Entered> {
        let start = store.start_login(&name.parse().unwrap()).await.unwrap();
        let user = start.user.unwrap();
        let session = self.session(at);
        let begin = BeginSession {
            user: user.id,
            version: user.version,
            everything_version: start.everything_version,
            session: session.clone(),
        };
        let begun = store.begin_session(begin).await.unwrap();
        begun.then_some(session)
    }
}

pub fn hash(text: &str) -> PasswordHash {
    PasswordHash::from_store(text.to_owned())
}

/// Reads the log from `cursor` to its head, in pages of that size. Checks each entry against the chain.
pub async fn read_from(store: &SqlStore, cursor: Cursor, size: u32) -> (Cursor, Vec<Page>) {
    let mut reading = Reading::from(cursor);
    let mut pages = Vec::new();
    loop {
        let page = store.read(reading.cursor().seq, size).await.unwrap();
        let last = page.entries.len() < size as usize;
        let complete = reading.take(&page, last).unwrap();
        pages.push(page);
        if complete {
            return (reading.cursor(), pages);
        }
    }
}
